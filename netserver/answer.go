package netserver

import (
	"fmt"
	"net/http"
)

// answer is a plain HTTP answer to a request that is not upgraded. It serves as an error inside of the package.
type answer struct {
	status int
	text   []byte
}

func (a *answer) Error() string { return "netserver: " + http.StatusText(a.status) }

// newAnswer writes an answer that ends the connection; headers are whole lines, each with its CRLF.
func newAnswer(status int, headers, body string) answer {
	return answer{status, fmt.Appendf(nil,
		"HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%s\r\n%s",
		status, http.StatusText(status), len(body), headers, body)}
}

const upgradeHeaders = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"

// The answers, each with its remedy.
var (
	answer400 = newAnswer(http.StatusBadRequest, "",
		"This is not an HTTP/1.1 request. Connect with a WebSocket client; TLS ends at the proxy in front of this port.\n")
	answer400Body = newAnswer(http.StatusBadRequest, "",
		"An upgrade request has no body. Send GET without Content-Length and Transfer-Encoding.\n")
	answer400Key = newAnswer(http.StatusBadRequest, "",
		"Sec-WebSocket-Key is missing or not 16 bytes in base64. Connect with a WebSocket client.\n")
	answer400Host = newAnswer(http.StatusBadRequest, "",
		"The Host header is missing.\n")
	answer400Protocol = newAnswer(http.StatusBadRequest, "",
		"Ask for a subprotocol that this server speaks: Sec-WebSocket-Protocol: "+protocolMsgpack+" or "+protocolJSON+".\n")
	answer400ProxyHeader = newAnswer(http.StatusBadRequest, "",
		"The proxy in front of this server must send a PROXY protocol header, version 1 or 2, before the request. Its operator turns it on.\n")
	answer400ProxyUnexpected = newAnswer(http.StatusBadRequest, "",
		"This server takes no PROXY protocol header from this address. The operator lists the proxy in server.proxy_networks.\n")
	answer403Direct = newAnswer(http.StatusForbidden, "",
		"This server takes connections through its proxies only. Connect to the public address.\n")
	answer403 = newAnswer(http.StatusForbidden, "",
		"This origin may not connect. The operator permits it by adding it to the allowed origins.\n")
	answer404 = newAnswer(http.StatusNotFound, "",
		"Nothing is served at this path. Check the URL of the WebSocket.\n")
	answer405 = newAnswer(http.StatusMethodNotAllowed, "Allow: GET\r\n",
		"A WebSocket upgrade is a GET request.\n")
	answer408 = newAnswer(http.StatusRequestTimeout, "",
		"The upgrade request did not come in time. Send it at once after connecting.\n")
	answer426 = newAnswer(http.StatusUpgradeRequired, upgradeHeaders,
		"This path speaks WebSocket only. Connect with a WebSocket client; a proxy in between must pass Upgrade and Connection on.\n")
	answer426Version = newAnswer(http.StatusUpgradeRequired, upgradeHeaders,
		"This server speaks WebSocket version 13. Send Sec-WebSocket-Version: 13.\n")
	answer429 = newAnswer(http.StatusTooManyRequests, "Retry-After: 10\r\n",
		"There are too many connections from your address. Close some of them; if many users share the address, the operator raises limits.per_address.\n")
	answer431 = newAnswer(http.StatusRequestHeaderFieldsTooLarge, "",
		"The upgrade request is too long. Send fewer or shorter headers, cookies above all.\n")
)

// unavailable makes a 503 that asks to come back after so many seconds.
func unavailable(seconds int64) answer {
	return newAnswer(http.StatusServiceUnavailable, fmt.Sprintf("Retry-After: %d\r\n", seconds),
		"The server takes no new connections now. Try again after the time in Retry-After.\n")
}
