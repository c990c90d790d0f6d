package notify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// The media types that a body may have.
const (
	typeJSON = "application/json"
	typeForm = "application/x-www-form-urlencoded"
)

// What is read of an answer, in bytes: its header, its body so that the connection can be used again, and what of it is told to the operator.
const (
	maxAnswerHeader = 16 << 10
	maxAnswer       = 64 << 10
	maxTold         = 200
)

var validHeader = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// webhook is the channel that posts. Safe for concurrent use.
type webhook struct {
	url      string
	keys     [][]byte
	header   http.Header
	template *bodyTemplate // nil: the notification itself
	client   *http.Client
}

func newWebhook(w *Webhook, e *Endpoint) (*webhook, error) {
	if err := checkURL(w); err != nil {
		return nil, err
	}
	h := &webhook{url: w.URL, header: http.Header{"User-Agent": {"Switchyard"}}, client: newHTTPClient(w, e)}
	for name, value := range w.Header {
		if !validHeader.MatchString(name) || control(value) {
			return nil, fmt.Errorf("the header %q or its value cannot be sent: take out line breaks and spaces", name)
		}
		h.header.Set(name, value)
	}
	for _, secret := range w.Secrets {
		key, err := parseSecret(secret)
		if err != nil {
			return nil, err
		}
		h.keys = append(h.keys, key)
	}
	kind := cmp.Or(w.ContentType, typeJSON)
	if kind != typeJSON && (kind != typeForm || w.Template == "") {
		return nil, fmt.Errorf("the content type is %q: use %s, or %s with a template", kind, typeJSON, typeForm)
	}
	h.header.Set("Content-Type", kind)
	if w.Template == "" {
		return h, nil
	}
	var err error
	h.template, err = newBodyTemplate(w.Template, kind)
	return h, err
}

func checkURL(w *Webhook) error {
	u, err := url.Parse(w.URL)
	switch {
	case err != nil:
		return errors.New("the URL cannot be read: use https://host/path") // err holds it, and it may hold a password
	case u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("the URL %s is none of a webhook: use https://host/path", u.Redacted())
	case u.Scheme == "http" && !w.Plain:
		return fmt.Errorf("the URL %s is not encrypted: use https, or permit http for this endpoint", u.Redacted())
	}
	return nil
}

// newHTTPClient makes a client with connections of its own, so that endpoints of one host do not wait for each other.
func newHTTPClient(w *Webhook, e *Endpoint) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: e.Timeout}).DialContext,
			TLSClientConfig:        w.TLS,
			ForceAttemptHTTP2:      true,
			MaxConnsPerHost:        e.Workers,
			MaxIdleConnsPerHost:    e.Workers,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: maxAnswerHeader,
			DisableCompression:     true, // an answer is thrown away; it need not unpack to more than was sent
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (w *webhook) close() { w.client.CloseIdleConnections() }

func (w *webhook) most() int { return 1 }

func (w *webhook) send(ctx context.Context, batch []message) (int, error) {
	return 1, w.post(ctx, batch[0])
}

func (w *webhook) post(ctx context.Context, m message) error {
	body := m.body
	if w.template != nil {
		var err error
		if body, err = w.template.execute(m.notification); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	w.sign(request.Header, m.notification.ID, body, time.Now())
	response, err := w.client.Do(request)
	if err != nil {
		return &failure{err: withoutURL(err), away: true}
	}
	defer response.Body.Close()
	return judge(response, time.Now())
}

func (w *webhook) sign(header http.Header, id string, body []byte, now time.Time) {
	for name, values := range w.header {
		header[name] = values
	}
	seconds := strconv.FormatInt(now.Unix(), 10)
	header.Set("Webhook-Id", id)
	header.Set("Webhook-Timestamp", seconds)
	if len(w.keys) > 0 {
		header.Set("Webhook-Signature", signature(w.keys, id, seconds, body))
	}
}

// withoutURL takes the URL out of an error, because it may hold a token.
func withoutURL(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// judge makes nothing of 2xx, and a failure of everything else. It reads what it needs of the answer; an answer of 2xx that ends too early, or never, has
// arrived all the same.
func judge(r *http.Response, now time.Time) error {
	told, _ := io.ReadAll(io.LimitReader(r.Body, maxTold))        // what is missing is not needed
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxAnswer)) // or the connection is not used again
	f := &failure{wait: retryAfter(r.Header.Get("Retry-After"), now)}
	switch {
	case r.StatusCode/100 == 2:
		return nil
	case r.StatusCode == http.StatusGone:
		f.final = true
		f.err = errors.New("notify: the endpoint answers 410 Gone: nobody wants this any more; take the endpoint out of the configuration")
	case r.StatusCode/100 == 3:
		f.err = fmt.Errorf("notify: the endpoint answers %s, and redirects are not followed: configure where it points to", r.Status)
	default:
		f.away = r.StatusCode/100 == 5 || r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusRequestTimeout
		f.err = fmt.Errorf("notify: the endpoint answers %s %q", r.Status, told)
	}
	return f
}

// retryAfter reads seconds or a date; 0 if there is neither. RFC 9110, section 10.2.3.
func retryAfter(value string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), maxWait)
}
