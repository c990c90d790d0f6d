package netserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt): what a proxy writes before the first
// byte of its client, so that the server knows who that is. Version 1 is a line of text:
//
//	PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n
//	PROXY UNKNOWN anything\r\n
//
// Version 2 is binary:
//
//	0   12  signature
//	12   1  version 2 in the upper half; 0 LOCAL or 1 PROXY in the lower half
//	13   1  family in the upper half: 0 unspecified, 1 IPv4, 2 IPv6, 3 Unix; transport in the lower half: 0 unspecified, 1 stream, 2 datagram
//	14   2  bytes that follow, big endian
//	16      addresses: source, destination, source port, destination port (2*4+2*2 bytes for IPv4, 2*16+2*2 for IPv6)
//	        then extensions: type (1 byte), length (2 bytes), value
const (
	proxyV1Start   = "PROXY "
	proxyV2Start   = "\r\n\r\n\x00\r\nQUIT\n"
	proxyV1Longest = 107 // bytes of a line with its CRLF
	proxyV2Fixed   = 16  // bytes before the addresses

	proxyTCP4   = 0x11
	proxyTCP6   = 0x21
	proxyCRC32C = 0x03 // the extension with a checksum over the whole header, in which its own value counts as zeros
)

// What can be wrong with a header.
var (
	errProxyMissing   = errors.New("the connection does not begin with a PROXY header")
	errProxyLine      = errors.New("the PROXY line is malformed")
	errProxyLong      = fmt.Errorf("the PROXY line does not end within %d bytes", proxyV1Longest)
	errProxyVersion   = errors.New("the binary PROXY header is not of version 2")
	errProxyCommand   = errors.New("the PROXY header has an unknown command")
	errProxyFamily    = errors.New("the PROXY header has an unknown address family or transport")
	errProxyTooLarge  = errors.New("the PROXY header is longer than the limit on a request's header; let the proxy send fewer extensions")
	errProxyShort     = errors.New("the PROXY header is too short for its addresses")
	errProxyExtension = errors.New("the PROXY header has an extension that does not fit")
	errProxyChecksum  = errors.New("the checksum of the PROXY header is wrong")
)

// parseProxy reads a PROXY header at the front of b: its length n and the client's address, which is invalid if the header gives none
// (LOCAL, UNKNOWN, unspecified, datagram and Unix): then the connection's own address stands. With n 0 and no error b is too short; so
// it can be called again with more. A binary header over limit bytes is refused as soon as its length is known.
func parseProxy(b []byte, limit int) (client netip.AddrPort, n int, err error) {
	switch {
	case beginsLike(b, proxyV2Start):
		return parseProxyV2(b, limit)
	case beginsLike(b, proxyV1Start):
		return parseProxyV1(b)
	}
	return client, 0, errProxyMissing
}

// beginsLike tells whether b starts with start or is the beginning of it.
func beginsLike(b []byte, start string) bool {
	n := min(len(b), len(start))
	return string(b[:n]) == start[:n]
}

func parseProxyV1(b []byte) (client netip.AddrPort, n int, err error) {
	end := bytes.Index(b[:min(len(b), proxyV1Longest)], []byte("\r\n"))
	switch {
	case end >= 0:
		if client, err = proxyLine(string(b[len(proxyV1Start):end])); err != nil {
			return client, 0, err
		}
		return client, end + 2, nil
	case len(b) >= proxyV1Longest:
		return client, 0, errProxyLong
	}
	return client, 0, nil
}

// proxyLine reads what follows "PROXY ".
func proxyLine(line string) (client netip.AddrPort, err error) {
	fields := strings.Split(line, " ")
	switch {
	case fields[0] == "UNKNOWN":
		return client, nil
	case len(fields) != 5:
		return client, errProxyLine
	}
	client, ok := proxyText(fields[0], fields[1], fields[3])
	if _, server := proxyText(fields[0], fields[2], fields[4]); !ok || !server {
		return netip.AddrPort{}, errProxyLine
	}
	return client, nil
}

func proxyText(family, address, port string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" || a.Is4() != (family == "TCP4") || a.Is6() != (family == "TCP6") {
		return netip.AddrPort{}, false
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, uint16(p)), true
}

func parseProxyV2(b []byte, limit int) (client netip.AddrPort, n int, err error) {
	if len(b) < proxyV2Fixed {
		return client, 0, nil
	}
	size := proxyV2Fixed + int(binary.BigEndian.Uint16(b[14:]))
	local := b[12] == 0x20 // family and addresses are ignored
	switch {
	case b[12]>>4 != 2:
		return client, 0, errProxyVersion
	case b[12]&0xf > 1:
		return client, 0, errProxyCommand
	case !local && (b[13]>>4 > 3 || b[13]&0xf > 2):
		return client, 0, errProxyFamily
	case size > limit:
		return client, 0, errProxyTooLarge
	case len(b) < size:
		return client, 0, nil
	case local:
		return client, size, nil
	}
	if client, err = proxyBinary(b[:size]); err != nil {
		return netip.AddrPort{}, 0, err
	}
	return client, size, nil
}

// proxyBinary reads the addresses of a whole header, and checks its extensions.
func proxyBinary(header []byte) (client netip.AddrPort, err error) {
	width := 0 // of one address
	switch header[13] {
	case proxyTCP4:
		width = 4
	case proxyTCP6:
		width = 16
	default:
		return client, nil
	}
	block := header[proxyV2Fixed:]
	size := 2*width + 4
	if len(block) < size {
		return client, errProxyShort
	}
	a, _ := netip.AddrFromSlice(block[:width])
	client = netip.AddrPortFrom(a, binary.BigEndian.Uint16(block[2*width:]))
	return client, checkExtensions(header, proxyV2Fixed+size)
}

// checkExtensions walks the extensions from offset at on, skips what they say, and verifies a checksum.
func checkExtensions(header []byte, at int) error {
	for at < len(header) {
		if len(header)-at < 3 {
			return errProxyExtension
		}
		kind, value := header[at], at+3
		if at = value + int(binary.BigEndian.Uint16(header[at+1:])); at > len(header) {
			return errProxyExtension
		}
		if kind == proxyCRC32C && !checksumFits(header, value, at) {
			return errProxyChecksum
		}
	}
	return nil
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	noChecksum = make([]byte, 4) // what stands for the checksum when it is computed
)

// checksumFits compares the checksum at header[from:to] with that of the header.
func checksumFits(header []byte, from, to int) bool {
	if to-from != 4 {
		return false
	}
	sum := crc32.Update(0, castagnoli, header[:from])
	sum = crc32.Update(sum, castagnoli, noChecksum)
	sum = crc32.Update(sum, castagnoli, header[to:])
	return sum == binary.BigEndian.Uint32(header[from:to])
}
