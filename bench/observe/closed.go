package observe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Closed asks a Switchyard server's admin address how many connections ended so far, by reason.
func Closed(ctx context.Context, admin string) (map[string]int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(admin, "/")+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	c := http.Client{Timeout: 5 * time.Second}
	defer c.CloseIdleConnections()
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("observe: %w (is --admin the server's admin address?)", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("observe: %s answered %s", req.URL, resp.Status)
	}
	return parseClosed(io.LimitReader(resp.Body, 16<<20))
}

// parseClosed finds switchyard_connections_closed_total{reason="..."} N.
func parseClosed(r io.Reader) (map[string]int64, error) {
	reasons := map[string]int64{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), `switchyard_connections_closed_total{reason="`)
		if !ok {
			continue
		}
		reason, value, ok := strings.Cut(rest, `"} `)
		n, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("observe: cannot read %q", lines.Text())
		}
		reasons[reason] = int64(n)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	return reasons, nil
}
