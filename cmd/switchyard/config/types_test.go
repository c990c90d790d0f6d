package config

import (
	"strings"
	"testing"
	"time"
)

func TestDurationText(t *testing.T) {
	for text, want := range map[string]string{"30s": "30s", "90s": "1m30s", "60s": "1m", "3600s": "1h", "1h30m": "1h30m", "0s": "0s", "1500ms": "1.5s", "1h0m1s": "1h0m1s"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, d, err, want)
		}
		var back Duration
		if err := back.UnmarshalText([]byte(d.String())); err != nil || back != d {
			t.Errorf("%s does not read back: %v, %v", d, time.Duration(back), err)
		}
	}
}

func TestSizeText(t *testing.T) {
	for text, want := range map[string]string{"0B": "0B", "512B": "512B", "64KiB": "64KiB", "65536B": "64KiB", "1024 MiB": "1GiB", "1MB": "1000000B", "64kB": "64000B"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, s, err, want)
		}
	}
	for _, text := range []string{"", "B", "64", "64K", "-1B", "1.5MiB", "1e3B", "x64KiB"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %s", text, s)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1": "10.0.0.1/32", "10.0.0.0/8": "10.0.0.0/8", "::1": "::1/128", "fd00::/8": "fd00::/8", "0.0.0.0/0": "0.0.0.0/0",
		"": "is not a network", "10.0.0.0/33": "is not a network", "haproxy": "is not a network", "10.0.0": "is not a network", "fe80::1%eth0": "is not a network",
		"10.0.0.1/8": "write 10.0.0.0/8 for the network, or 10.0.0.1 for the address alone", "::ffff:10.0.0.1": "write it as IPv4", "::ffff:10.0.0.0/104": "write it as IPv4",
	} {
		p, err := ParseNetwork(text)
		if err == nil && p.String() != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %s", text, p, err, want)
		}
	}
}

func TestAddressIsLoopback(t *testing.T) {
	for a, want := range map[Address]bool{"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, ":1": false, "0.0.0.0:1": false, "10.0.0.1:1": false, "[fe80::1]:1": false} {
		if a.IsLoopback() != want {
			t.Errorf("%s: %v", a, !want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"listen", "loops", "max_header"}
	for name, want := range map[string]string{"lisen": "listen", "LISTEN": "listen", "lsiten": "listen", "loop": "loops", "header_max": "", "x": "", "": ""} {
		got := didYouMean(name, names)
		if want == "" && got != "" || want != "" && got != `; did you mean "`+want+`"?` {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestAddrPort(t *testing.T) {
	for a, want := range map[Address]string{":80": "[::]:80", "127.0.0.1:0": "127.0.0.1:0"} {
		if a.AddrPort() != want {
			t.Errorf("%s: %s, want %s", a, a.AddrPort(), want)
		}
	}
}
