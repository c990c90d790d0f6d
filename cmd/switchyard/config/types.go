package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span, spelled with its units: "1m30s".
type Duration time.Duration

// UnmarshalText reads the spelling of time.ParseDuration; a number alone is refused unless it is 0.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return errors.New(`is not a duration; write it with a unit, like 250ms, "30s" or "1m30s"`)
	}
	*d = Duration(v)
	return nil
}

// String drops the zero units that time.Duration writes: 1m, not 1m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Size is a number of bytes, spelled with its unit: "64KiB".
type Size int64

var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1},
}

// UnmarshalText reads a whole number and a unit: B, KiB, MiB, GiB, TiB, or their decimal cousins.
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range units {
		number, found := strings.CutSuffix(string(text), u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.bytes {
			break
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return errors.New(`is not a size; write a whole number with a unit, like "512B", "64KiB" or "1GiB"`)
}

// String uses the largest binary unit that divides the size.
func (s Size) String() string {
	for _, u := range units[:4] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// Address is a TCP address of this machine: an IP address, or nothing for every interface, and a port.
type Address string

// UnmarshalText checks the form; whether the address exists is found out by listening.
func (a *Address) UnmarshalText(text []byte) error {
	host, port, err := net.SplitHostPort(string(text))
	if err != nil {
		return errors.New(`is not an address; write IP:PORT, like "127.0.0.1:8080", "[::1]:8080" or ":8080"`)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("has the port %q; a port is a number from 0 to 65535", port)
	}
	if _, err := netip.ParseAddr(host); host != "" && err != nil {
		return fmt.Errorf("has the host %q; write an IP address, like 127.0.0.1, or nothing for every interface", host)
	}
	*a = Address(text)
	return nil
}

// AddrPort is the address as IP:PORT, where no host is [::], which takes IPv4 too.
func (a Address) AddrPort() string {
	if strings.HasPrefix(string(a), ":") {
		return "[::]" + string(a)
	}
	return string(a)
}

// MaybeAddress is an Address, or "off".
type MaybeAddress string

const off = "off"

// UnmarshalText reads what Address does, and "off".
func (m *MaybeAddress) UnmarshalText(text []byte) error {
	var a Address
	if string(text) != off {
		if err := a.UnmarshalText(text); err != nil {
			return fmt.Errorf("%w, or \"off\"", err)
		}
	}
	*m = MaybeAddress(text)
	return nil
}

// On returns the address, unless it is off.
func (m MaybeAddress) On() (Address, bool) { return Address(m), m != off }

// ParseNetwork reads an address, which is a network of its own, or a network with its prefix length.
func ParseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if a, e := netip.ParseAddr(s); e == nil {
		p, err = netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
	}
	switch {
	case err != nil || strings.Contains(s, "%"):
		return netip.Prefix{}, fmt.Errorf("%q is not a network; write an address or a prefix, like 10.0.1.5, 10.0.0.0/8 or fd00::/8", s)
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is IPv4 in the clothes of IPv6; write it as IPv4, like 10.0.0.0/8", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has bits beyond its prefix length; write %v for the network, or %v for the address alone", s, p.Masked(), p.Addr())
	}
	return p, nil
}

// IsLoopback tells whether only this machine can reach the address.
func (a Address) IsLoopback() bool {
	addr, err := netip.ParseAddrPort(string(a))
	return err == nil && addr.Addr().IsLoopback()
}
