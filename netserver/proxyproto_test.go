package netserver

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const proxyLimit = 600

// proxyV2 builds a binary header; rest is everything behind the first 16 bytes.
func proxyV2(command, family byte, rest ...[]byte) []byte {
	all := bytes.Join(rest, nil)
	b := append([]byte(proxyV2Start), 0x20|command, family)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(all))), all...)
}

// addresses is the address block of source and destination.
func addresses(source, destination string) []byte {
	s, d := netip.MustParseAddrPort(source), netip.MustParseAddrPort(destination)
	b := append(s.Addr().AsSlice(), d.Addr().AsSlice()...)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, s.Port()), d.Port())
}

func extension(kind byte, value string) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value))), value...)
}

// summed puts the checksum into the last four bytes, which are those of its extension.
func summed(header []byte) []byte {
	at := len(header) - 4
	clear(header[at:])
	binary.BigEndian.PutUint32(header[at:], crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)))
	return header
}

var (
	block4 = addresses("192.0.2.1:56324", "198.51.100.1:443")
	block6 = addresses("[2001:db8::1]:56324", "[2001:db8::2]:443")
	noSum  = extension(proxyCRC32C, "....")
)

var proxyCases = []struct {
	name   string
	header []byte
	client string // empty: the connection's own
	err    error
}{
	{"line of IPv4", []byte("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), "192.0.2.1:56324", nil},
	{"line of IPv6", []byte("PROXY TCP6 2001:db8::1 2001:DB8::2 56324 443\r\n"), "[2001:db8::1]:56324", nil},
	{"IPv4 as IPv6", []byte("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "[::ffff:192.0.2.1]:1", nil},
	{"unknown", []byte("PROXY UNKNOWN\r\n"), "", nil},
	{"the longest line", []byte("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"), "", nil},
	{"ports 0 and 65535", []byte("PROXY TCP4 1.2.3.4 1.2.3.4 0 65535\r\n"), "1.2.3.4:0", nil},
	{"binary, IPv4", proxyV2(1, proxyTCP4, block4), "192.0.2.1:56324", nil},
	{"binary, IPv6", proxyV2(1, proxyTCP6, block6), "[2001:db8::1]:56324", nil},
	{"extensions", proxyV2(1, proxyTCP4, block4, extension(4, "padding"), extension(0x20, strings.Repeat("s", 500)), extension(0xee, "")), "192.0.2.1:56324", nil},
	{"checksum", summed(proxyV2(1, proxyTCP4, block4, extension(4, "\x01"), noSum)), "192.0.2.1:56324", nil},
	{"checksum of IPv6", summed(proxyV2(1, proxyTCP6, block6, noSum)), "[2001:db8::1]:56324", nil},
	{"local", proxyV2(0, 0), "", nil},
	{"local with a family and addresses", proxyV2(0, 0xff, block4), "", nil},
	{"unspecified", proxyV2(1, 0, []byte("whatever")), "", nil},
	{"datagrams", proxyV2(1, 0x12, block4), "", nil},
	{"Unix", proxyV2(1, 0x31, make([]byte, 216)), "", nil},
	{"the largest", proxyV2(0, 0, make([]byte, proxyLimit-proxyV2Fixed)), "", nil},

	{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), "", errProxyMissing},
	{"TLS", []byte("\x16\x03\x01"), "", errProxyMissing},
	{"almost a line", []byte("PROXYTCP4 1.2.3.4 1.2.3.4 1 2\r\n"), "", errProxyMissing},
	{"almost a signature", []byte("\r\n\r\n\x00\r\nQUIT\r"), "", errProxyMissing},
	{"other family", []byte("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"), "", errProxyLine},
	{"no fields", []byte("PROXY \r\n"), "", errProxyLine},
	{"too few fields", []byte("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"), "", errProxyLine},
	{"too many fields", []byte("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"), "", errProxyLine},
	{"two spaces", []byte("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n"), "", errProxyLine},
	{"space at the end", []byte("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"), "", errProxyLine},
	{"IPv6 as TCP4", []byte("PROXY TCP4 ::1 ::1 1 2\r\n"), "", errProxyLine},
	{"IPv4 as TCP6", []byte("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"), "", errProxyLine},
	{"a zone", []byte("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"), "", errProxyLine},
	{"leading zero of an address", []byte("PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n"), "", errProxyLine},
	{"leading zero of a port", []byte("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"), "", errProxyLine},
	{"port too large", []byte("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"), "", errProxyLine},
	{"negative port", []byte("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n"), "", errProxyLine},
	{"bad destination", []byte("PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n"), "", errProxyLine},
	{"a line feed alone", []byte("PROXY UNKNOWN\nGET / HTTP/1.1\r\n"), "", errProxyLine},
	{"a line over 107 bytes", []byte("PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n"), "", errProxyLong},
	{"version 1 in binary", append([]byte(proxyV2Start), 0x11, 0x11, 0, 0), "", errProxyVersion},
	{"command 2", proxyV2(2, 0), "", errProxyCommand},
	{"family 4", proxyV2(1, 0x41), "", errProxyFamily},
	{"transport 3", proxyV2(1, 0x13), "", errProxyFamily},
	{"too large", proxyV2(0, 0, make([]byte, proxyLimit-proxyV2Fixed+1)), "", errProxyTooLarge},
	{"too short for IPv4", proxyV2(1, proxyTCP4, block4[:11]), "", errProxyShort},
	{"too short for IPv6", proxyV2(1, proxyTCP6, block4), "", errProxyShort},
	{"extension without length", proxyV2(1, proxyTCP4, block4, []byte{4, 0}), "", errProxyExtension},
	{"extension over the end", proxyV2(1, proxyTCP4, block4, []byte{4, 0, 2, 1}), "", errProxyExtension},
	{"wrong checksum", proxyV2(1, proxyTCP4, block4, noSum), "", errProxyChecksum},
	{"short checksum", proxyV2(1, proxyTCP4, block4, extension(proxyCRC32C, "...")), "", errProxyChecksum},
}

// TestParseProxy feeds every prefix: nothing is decided before the header is whole, nothing but the header is consumed, and what is wrong
// stays wrong.
func TestParseProxy(t *testing.T) {
	for _, tc := range proxyCases {
		t.Run(tc.name, func(t *testing.T) {
			stream := append(bytes.Clone(tc.header), "GET /v1/ws HTTP/1.1\r\n"...)
			for k := range stream {
				client, n, err := parseProxy(stream[:k], proxyLimit)
				switch {
				case tc.err != nil && k >= len(tc.header):
					if err != tc.err || n != 0 {
						t.Fatalf("%d bytes: %d, %v; want %v", k, n, err, tc.err)
					}
				case tc.err != nil:
					if n != 0 || err != nil && err != tc.err {
						t.Fatalf("%d bytes: %d, %v; want nothing or %v", k, n, err, tc.err)
					}
				case k < len(tc.header):
					if n != 0 || err != nil || client.IsValid() {
						t.Fatalf("%d bytes of %d: %v, %d, %v", k, len(tc.header), client, n, err)
					}
				case n != len(tc.header) || err != nil || client.IsValid() != (tc.client != "") || tc.client != "" && client.String() != tc.client:
					t.Fatalf("%d bytes: %v, %d, %v", k, client, n, err)
				}
			}
		})
	}
}

// TestProxyLengthIsCheckedFirst: a declared length over the limit is refused before any of it has come.
func TestProxyLengthIsCheckedFirst(t *testing.T) {
	header := proxyV2(1, proxyTCP4, make([]byte, 0xffff))
	if _, _, err := parseProxy(header[:proxyV2Fixed], proxyLimit); err != errProxyTooLarge {
		t.Errorf("after %d bytes: %v", proxyV2Fixed, err)
	}
}

var proxyLinePattern = regexp.MustCompile(`^PROXY (?:UNKNOWN(?: [^\r\n]*)?|(TCP4|TCP6) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (0|[1-9][0-9]*) (0|[1-9][0-9]*))\r\n`)

// modelProxy reads a header the obvious way, from the whole stream; size -1 tells that it is not valid, or not whole.
func modelProxy(stream []byte, limit int) (client string, size int) {
	if bytes.HasPrefix(stream, []byte(proxyV2Start)) {
		return modelBinary(stream, limit)
	}
	m := proxyLinePattern.FindSubmatch(stream)
	if m == nil || len(m[0]) > 107 {
		return "", -1
	}
	if len(m[1]) == 0 {
		return "", len(m[0])
	}
	source, destination := net.ParseIP(string(m[2])), net.ParseIP(string(m[3]))
	six := string(m[1]) == "TCP6"
	for i, ip := range []net.IP{source, destination} {
		if ip == nil || six != bytes.Contains(m[2+i], []byte(":")) {
			return "", -1
		}
	}
	for _, port := range m[4:6] {
		if p, err := strconv.Atoi(string(port)); err != nil || p > 65535 {
			return "", -1
		}
	}
	return source.String() + " " + string(m[4]), len(m[0])
}

func modelBinary(stream []byte, limit int) (client string, size int) {
	var fixed struct {
		Signature       [12]byte
		Command, Family byte
		Length          uint16
	}
	r := bytes.NewReader(stream)
	if binary.Read(r, binary.BigEndian, &fixed) != nil || fixed.Command>>4 != 2 || fixed.Command&0xf > 1 {
		return "", -1
	}
	size = 16 + int(fixed.Length)
	if size > limit || size > len(stream) {
		return "", -1
	}
	r = bytes.NewReader(stream[16:size])
	if fixed.Command == 0x20 {
		return "", size
	}
	if fixed.Family>>4 > 3 || fixed.Family&0xf > 2 {
		return "", -1
	}
	var ports [2]uint16
	width := map[byte]int{0x11: 4, 0x21: 16}[fixed.Family]
	if width == 0 {
		return "", size
	}
	both := make([]byte, 2*width)
	if _, err := io.ReadFull(r, both); err != nil || binary.Read(r, binary.BigEndian, &ports) != nil {
		return "", -1
	}
	if !modelExtensions(r, stream[:size]) {
		return "", -1
	}
	return net.IP(both[:width]).String() + " " + strconv.Itoa(int(ports[0])), size
}

func modelExtensions(r *bytes.Reader, header []byte) bool {
	for r.Len() > 0 {
		var head struct {
			Kind   byte
			Length uint16
		}
		if binary.Read(r, binary.BigEndian, &head) != nil || int(head.Length) > r.Len() {
			return false
		}
		at := len(header) - r.Len()
		value := make([]byte, head.Length)
		_, _ = io.ReadFull(r, value)
		if head.Kind == 3 {
			blank := bytes.Clone(header)
			clear(blank[at : at+len(value)])
			if len(value) != 4 || crc32.Checksum(blank, crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(value) {
				return false
			}
		}
	}
	return true
}

// FuzzParseProxy compares the parser with the model on every prefix of a stream.
func FuzzParseProxy(f *testing.F) {
	for _, tc := range proxyCases {
		f.Add(append(bytes.Clone(tc.header), 'G'))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		if len(stream) > 2*proxyLimit {
			return
		}
		var failed error
		for k := range len(stream) + 1 {
			client, n, err := parseProxy(stream[:k], proxyLimit)
			if n > k || n > 0 && err != nil || n == 0 && client.IsValid() || failed != nil && err == nil {
				t.Fatalf("%d bytes of %q: %v, %d, %v after %v", k, stream, client, n, err, failed)
			}
			failed = err
			got, size := "", n
			if client.IsValid() {
				got = net.IP(client.Addr().AsSlice()).String() + " " + strconv.Itoa(int(client.Port()))
			}
			if n == 0 {
				size = -1
			}
			if want, wantSize := modelProxy(stream[:k], proxyLimit); got != want || size != wantSize {
				t.Fatalf("%d bytes of %q: %q, %d; the model says %q, %d", k, stream, got, size, want, wantSize)
			}
		}
	})
}

// TestParseProxyAllocatesNothing, for version 2; a line of version 1 costs its fields.
func TestParseProxyAllocatesNothing(t *testing.T) {
	header := summed(proxyV2(1, proxyTCP6, block6, extension(4, "\x01"), noSum))
	n := testing.AllocsPerRun(100, func() {
		if _, n, err := parseProxy(header, proxyLimit); n != len(header) || err != nil {
			t.Fatal(n, err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
