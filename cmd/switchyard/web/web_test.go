package web

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestSlowClientsEnd: who does not read the answer, and who does not send the body that it announced, holds a handler up for a bounded time only.
func TestSlowClientsEnd(t *testing.T) {
	for name, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"does not read": func(w http.ResponseWriter, _ *http.Request) (err error) {
			for chunk := make([]byte, 1<<20); err == nil; {
				_, err = w.Write(chunk)
			}
			return err
		},
		"does not send": func(_ http.ResponseWriter, r *http.Request) error {
			_, err := io.ReadAll(r.Body)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			s, err := Start(Config{
				Name: "test", Listen: "127.0.0.1:0", Timeout: 50 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ended <- handle(w, r) }),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close(context.Background())
			c, err := net.Dial("tcp", s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err == nil {
					t.Error("the handler was not cut off")
				}
			case <-time.After(time.Minute):
				t.Error("the handler is held up")
			}
		})
	}
}
