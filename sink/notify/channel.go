package notify

import (
	"context"
	"fmt"
)

// message is a notification that is about to be sent, and its JSON.
type message struct {
	notification *Notification
	body         []byte
}

// channel is how the notifications of an endpoint get out. Safe for concurrent use.
type channel interface {
	// most is how many notifications of a conversation it can send together.
	most() int
	// send sends the first n of a batch, at least one, or fails for them. It ends soon after ctx.
	send(ctx context.Context, batch []message) (n int, err error)
	close()
}

func newChannel(e *Endpoint) (c channel, err error) {
	if e.Webhook != nil {
		c, err = newWebhook(e.Webhook, e)
	} else {
		c, err = newMailer(e.Mail)
	}
	if err != nil {
		return nil, fmt.Errorf("notify: the endpoint %q: %w", e.Name, err)
	}
	return c, nil
}
