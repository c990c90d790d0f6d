package config

import (
	"math/bits"
	"net/url"
	"runtime"
	"strings"
)

// check finds values that are each allowed but do not go together, and elements of lists that are wrong.
func (l *Loaded) check(dev bool) Problems {
	var ps Problems
	l.checkLess(&ps, "websocket.ping_after", int64(l.Websocket.PingAfter), "websocket.close_after", int64(l.Websocket.CloseAfter), "or every quiet connection is closed before it is asked")
	l.checkLess(&ps, "websocket.output_soft", int64(l.Websocket.OutputSoft), "websocket.output_hard", int64(l.Websocket.OutputHard), "or nothing is dropped before the connection is closed")
	l.checkLess(&ps, "websocket.max_message", int64(l.Websocket.MaxMessage), "websocket.output_hard", int64(l.Websocket.OutputHard), "or one message closes its receivers as slow consumers")
	l.checkLess(&ps, "reconnect.min", int64(l.Reconnect.Min), "reconnect.max", int64(l.Reconnect.Max)+1, "since the wait grows from the one to the other")
	l.checkBurst(&ps, "limits.accept", int64(l.Limits.AcceptRate), int64(l.Limits.AcceptBurst))
	l.checkBurst(&ps, "limits.message", int64(l.Limits.MessageRate), int64(l.Limits.MessageBurst))
	l.checkBurst(&ps, "limits.byte", int64(l.Limits.ByteRate), int64(l.Limits.ByteBurst))
	l.checkHeld(&ps)
	l.checkRings(&ps)
	l.checkListeners(&ps)
	l.checkOrigins(&ps)
	l.checkProxies(&ps)
	l.checkKeys(&ps, dev)
	return ps
}

// checkLess requires a < b, and names the place of whichever the operator set.
func (l *Loaded) checkLess(ps *Problems, a string, av int64, b string, bv int64, why string) {
	if av < bv {
		return
	}
	at, other := l.Origins[a], l.Origins[b]
	if at == fromDefault {
		at, other = other, at
	}
	ps.add(at, a, "must be less than %s (%s), %s; change one of them", b, other, why)
}

// checkBurst requires a burst of a second at least, since rates are applied once a second.
func (l *Loaded) checkBurst(ps *Problems, name string, rate, burst int64) {
	if rate > 0 && burst > 0 {
		l.checkLess(ps, name+"_rate", rate, name+"_burst", burst+1, "or the rate is never reached")
	}
}

// checkHeld requires room for a message of the greatest length, in a buffer that grew by doubling, in each loop's part.
func (l *Loaded) checkHeld(ps *Problems) {
	loops := l.Server.Loops
	if loops == 0 {
		loops = min(max(1, runtime.GOMAXPROCS(0)/2), 63)
	}
	least := 2 * l.Websocket.MaxMessage * Size(loops)
	if l.Limits.Held >= least {
		return
	}
	at := l.Origins["limits.held"]
	if at == fromDefault {
		at = l.Origins["websocket.max_message"]
	}
	ps.add(at, "limits.held", "leaves each of %d loops %v, too little for a message of websocket.max_message (%v); give at least %v, or fewer server.loops",
		loops, l.Limits.Held/Size(loops), l.Websocket.MaxMessage, least)
}

func (l *Loaded) checkRings(ps *Problems) {
	frames, bytes := l.Conversations.RingFrames, int64(l.Conversations.RingBytes)
	if frames&(frames-1) != 0 {
		ps.add(l.Origins["conversations.ring_frames"], "conversations.ring_frames", "%d is not a power of two; write %d", frames, powerOfTwo(int64(frames)))
	}
	if bytes&(bytes-1) != 0 {
		ps.add(l.Origins["conversations.ring_bytes"], "conversations.ring_bytes", "%v is not a power of two; write %v", l.Conversations.RingBytes, Size(powerOfTwo(bytes)))
	}
	l.checkLess(ps, "websocket.max_message", int64(l.Websocket.MaxMessage), "conversations.ring_bytes", bytes/2+1, "in fact at most half of it, or a message does not fit")
}

// powerOfTwo is the least one that is not below n.
func powerOfTwo(n int64) int64 { return 1 << bits.Len64(uint64(n-1)) }

func (l *Loaded) checkListeners(ps *Problems) {
	taken := map[Address]string{}
	for _, o := range []struct {
		path    string
		address Address
	}{{"server.listen", l.Server.Listen}, {"admin.listen", l.Admin.Listen}, {"api.listen", Address(l.API.Listen)}} {
		if other := taken[o.address]; other != "" && !strings.HasSuffix(string(o.address), ":0") {
			ps.add(l.Origins[o.path], o.path, "is the address of %s too (%s); give it a port of its own", other, l.Origins[other])
		}
		taken[o.address] = o.path
	}
}

func (l *Loaded) checkOrigins(ps *Problems) {
	for _, o := range l.Server.AllowedOrigins {
		if !validOrigin(o) {
			ps.add(l.Origins["server.allowed_origins"], "server.allowed_origins", "%q is not an origin; write scheme and host without a path, like https://www.example.com or https://*.example.com", o)
		}
	}
}

// validOrigin takes http or https, a host that may begin with "*.", and nothing else; or "*" alone.
func validOrigin(o string) bool {
	u, err := url.Parse(o)
	if err != nil {
		return false
	}
	exact := (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Scheme+"://"+u.Host == o
	return o == "*" || exact && !strings.Contains(strings.TrimPrefix(u.Host, "*."), "*")
}

// checkProxies refuses half a setting: without the other half every client would have the proxy's address, or none could connect.
func (l *Loaded) checkProxies(ps *Problems) {
	const mode, networks = "server.proxy_protocol", "server.proxy_networks"
	switch off := l.Server.ProxyProtocol == "off"; {
	case !off && len(l.Server.ProxyNetworks) == 0:
		ps.add(l.Origins[mode], mode, "is %s, but no proxy is named; list the addresses of your proxies in %s, like 127.0.0.1 for one on this machine", l.Server.ProxyProtocol, networks)
	case off && len(l.Server.ProxyNetworks) > 0:
		ps.add(l.Origins[networks], networks, "names proxies, but %s is off; set it to required, or to mixed if clients may also connect directly", mode)
	}
	for _, n := range l.Server.ProxyNetworks {
		if _, err := ParseNetwork(n); err != nil {
			ps.add(l.Origins[networks], networks, "%v", err)
		}
	}
}

func (l *Loaded) checkKeys(ps *Problems, dev bool) {
	if len(l.Auth.Keys) == 0 && !dev {
		ps.add(l.Origins["auth.keys"], "auth.keys", `no key is configured, and there is no default one; make one with "openssl rand -hex 32 > token.key" and name its file here, or use --dev to try things out`)
	}
	for _, k := range l.Auth.Keys {
		if _, file := KeyFile(k); file == "" {
			ps.add(l.Origins["auth.keys"], "auth.keys", "%q names no file; write FILE or KID=FILE", k)
		}
	}
}

// KeyFile splits an element of auth.keys into the key id, which may be empty, and the file.
func KeyFile(element string) (kid, file string) {
	if kid, file, found := strings.Cut(element, "="); found {
		return kid, file
	}
	return "", element
}
