package dispatch

import (
	"context"

	"github.com/switchyard-im/switchyard/dispatch/desk"
)

// DeskCrowd is for tests.
const DeskCrowd = deskCrowd

// StallDesk keeps the desk from its work until the channel is closed.
func (c *Center) StallDesk(ctx context.Context, until <-chan struct{}) error {
	return c.ask(ctx, func(*desk.Desk) { <-until })
}
