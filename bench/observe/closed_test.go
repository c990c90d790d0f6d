package observe

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestReasonsOfTheEnd(t *testing.T) {
	line := `switchyard_connections_closed_total{reason="slow_consumer"} 7`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "# HELP x y\nswitchyard_connections 4\n"+line)
	}))
	defer s.Close()
	if got, err := Closed(context.Background(), s.URL+"/"); err != nil || got["slow_consumer"] != 7 || len(got) != 1 {
		t.Error(got, err)
	}
	line += "x"
	if _, err := Closed(context.Background(), s.URL); err == nil {
		t.Error("a broken line was accepted")
	}
	if _, err := Closed(context.Background(), "http://127.0.0.1:1"); err == nil {
		t.Error("nobody answered")
	}
}
