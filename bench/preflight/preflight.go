// Package preflight looks, before a load begins, for what would keep it from taking place: one connection goes as far as the scenario's will, and
// whatever is wrong is told with what to do about it. A load that is under way tells such things late, or takes them for the server's.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/switchyard-im/switchyard/bench/api"
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/bench/token"
	"github.com/switchyard-im/switchyard/frame"
)

// Config is what a run is going to need. The zero value of a field means that it needs none of that.
type Config struct {
	URL      string        // to dial, ws://HOST:PORT/PATH; required
	Protocol string        // the subprotocol to insist on; empty: any WebSocket server
	Key      *token.Signer // has the connection say hello as a visitor
	Conns    int           // connections of the whole run

	PerSource int // connections on each loopback source address; default 4,000, as in the scenarios

	Server  observe.Source
	History string        // URL of the HTTP interface; with Key
	Within  time.Duration // for each answer; default 5 s
}

// Check looks for all of it, the cheapest first. The error says what to do.
func Check(ctx context.Context, cfg Config) error {
	if cfg.Within == 0 {
		cfg.Within = 5 * time.Second
	}
	if cfg.PerSource == 0 {
		cfg.PerSource = 4000
	}
	target, err := client.ParseTarget(cfg.URL, cfg.Protocol)
	if err == nil {
		err = errors.Join(client.CheckDescriptors(cfg.Conns), target.CheckPorts(cfg.Conns, cfg.PerSource))
	}
	if err != nil {
		return err
	}
	if err := dial(ctx, target, &cfg); err != nil {
		return fmt.Errorf("preflight: %s: %w%s", cfg.URL, err, remedy(err))
	}
	if cfg.Server != nil {
		if _, err := cfg.Server.Read(ctx); err != nil {
			return fmt.Errorf("preflight: cannot read what the server uses: %w: give --server-pid the id of its process on this machine, or --admin the URL of its admin address, http://HOST:PORT", err)
		}
	}
	return history(ctx, &cfg)
}

// refused is an error frame that answers the hello.
type refused struct {
	code uint64
	text string
}

func (r *refused) Error() string {
	return fmt.Sprintf("the server refuses the hello: %s: %s", frame.ErrorName(r.code), r.text)
}

// errForeign is of a server that is no Switchyard.
var errForeign = errors.New("what answers the hello is no Switchyard server")

// remedies by what went wrong; the first that fits.
var remedies = []struct {
	fits func(error) bool
	text string
}{
	{retry.Unreachable, ": is the server running, and is --url its address?"},
	{is(errSilent, client.ErrDialTimeout), ": is --url the server's address, with no firewall in between? A server that hangs does not answer either"},
	{status(http.StatusServiceUnavailable, http.StatusTooManyRequests), ": the server turns connections away, because it has too many (server.max_connections), too much to do, or drains; " +
		"its log and /metrics tell which. Wait, or end what else loads it"},
	{status(http.StatusBadRequest, http.StatusUpgradeRequired), ": it is a server of another version of the protocol, no WebSocket server at all, or expects TLS (give the plain listener)"},
	{status(), ": is the path of --url right? That of Switchyard is /v1/ws"},
	{is(client.ErrSubprotocol), ": the server speaks another version of the protocol, or is no Switchyard: use the switchyard-bench of its release. " +
		"Any WebSocket server is measured by `echo` and `idle --state upgraded`"},
	{is(client.ErrProtocol), ": is --url the address of a WebSocket server without TLS?"},
	{code(frame.ErrorUnauthorized), ": is --key the file that the server checks tokens with (serve --dev: DIR/token.key; else auth.keys)?"},
	{code(frame.ErrorTokenExpired), ": do the clocks of this machine and the server's agree?"},
	{code(frame.ErrorOverloaded, frame.ErrorUnavailable), ": the server has too much to do, or its disk takes nothing; its log tells which. Wait, or end what else loads it"},
	{is(syscall.EADDRNOTAVAIL), ": wait a minute, or widen net.ipv4.ip_local_port_range"},
	{is(errForeign), ": give the URL of a Switchyard server. Any WebSocket server is measured by `echo` and `idle --state upgraded`"},
	{closed(frame.CloseOverloaded, frame.CloseDrain), ": the server sheds connections or is going away; wait, or end what else loads it"},
	{func(error) bool { return true }, ": is --url the address of a Switchyard server without TLS? Its log may tell more"},
}

func remedy(err error) string {
	if errors.Is(err, context.Canceled) {
		return ""
	}
	for _, r := range remedies {
		if r.fits(err) {
			return r.text
		}
	}
	return ""
}

// history asks for a conversation that there is not: the interface knows the reader, and says so.
func history(ctx context.Context, cfg *Config) error {
	if cfg.History == "" {
		return nil
	}
	c, err := api.New(cfg.History)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, cfg.Within)
	defer cancel()
	signed, err := visitor(cfg.Key)
	if err != nil {
		return err
	}
	_, err = c.After(ctx, signed, frame.ID{1}, 0, 1)
	var answer *api.Error
	switch {
	case err == nil || errors.As(err, &answer) && answer.Code == "not_found":
		return nil
	case answer != nil && answer.Code == "unauthorized":
		return fmt.Errorf("preflight: the history: %w: is --key the file that this server checks tokens with?", err)
	case answer != nil && answer.Code != "" && api.Temporary(err):
		return nil // a history that cannot be read now is waited for when the load is over
	}
	return fmt.Errorf("preflight: the history: %w: give the URL of the server's HTTP interface, http:// and the address of api.listen, which is off by default", err)
}

// visitor signs the token of a user who opens nothing.
func visitor(key *token.Signer) (string, error) {
	return key.Sign(token.Visitor, "bench-preflight", "", time.Now(), time.Hour)
}
