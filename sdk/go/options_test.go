package switchyard

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// DialTimeout bounds an attempt whatever does not answer: the token, the network, the welcome.
func TestDialTimeout(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"token": func(o *Options) {
			o.Token = func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }
		},
		"network": func(o *Options) {
			o.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		},
		"upgrade": func(*Options) {},
		"welcome": func(*Options) {},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newPipeServer(t)
			opts := s.options()
			opts.DialTimeout = 7 * time.Second
			change(&opts)
			from := time.Now()
			_, err := attempted(func() (*Client, error) { return Dial(context.Background(), s.url, opts) }, func() {
				if name == "welcome" {
					drop(s.accept())
				}
			})
			if took := time.Since(from); !errors.Is(err, context.DeadlineExceeded) || took != opts.DialTimeout {
				t.Errorf("%s: after %v: %v", name, took, err)
			}
			select {
			case conn := <-s.conns:
				conn.Close()
			default:
			}
		})
	}
}

func TestLogger(t *testing.T) {
	s := newFakeServer(t)
	var log bytes.Buffer
	opts := s.options()
	opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c, p := s.start(opts)
	p.close(frame.CloseForbidden, "go away")
	<-c.Done()
	if !strings.Contains(log.String(), "forbidden: go away (code 4502)") {
		t.Errorf("logged %q", log.String())
	}
}

func TestTLS(t *testing.T) {
	s := newFakeServer(t)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrader := ws.HTTPUpgrader{Protocol: func(p string) bool { return p == subprotocol }}
		conn, _, _, err := upgrader.Upgrade(r, w)
		if err != nil {
			t.Error(err)
			return
		}
		p := s.peer(conn)
		expect(p, &frame.Hello{})
		p.send(testWelcome())
		p.next() // until the client closes
		conn.Close()
	}))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	secure.StartTLS()
	defer secure.Close()
	opts := s.options()
	address := "wss" + strings.TrimPrefix(secure.URL, "https")
	if _, err := Dial(testContext(t), address, opts); !errors.As(err, new(*tls.CertificateVerificationError)) {
		t.Errorf("an unknown certificate: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	opts.TLS = &tls.Config{RootCAs: roots}
	c, err := Dial(testContext(t), address, opts)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
