package chat

import (
	"context"
	"slices"

	"github.com/switchyard-im/switchyard/bench/audit"
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/token"
)

// audit reads the chosen conversations back, each as its visitor, and adds what is wrong to the ledger. The shares are finished.
func (r *run) audit(ctx context.Context, rep *Report, l *oracle.Ledger) (err error) {
	if r.cfg.History == nil {
		return nil
	}
	parts := make([][]audit.Conversation, len(r.shares))
	r.fleet.Each(func(i int, _ *client.Loop) { parts[i] = r.shares[i].pasts() })
	cfg := *r.cfg.History
	cfg.Key = r.cfg.Key
	rep.History, err = audit.Check(context.WithoutCancel(ctx), cfg, slices.Concat(parts...), l)
	return err
}

// pasts are the conversations of the share that are to be read back.
func (s *share) pasts() (all []audit.Conversation) {
	for _, p := range s.pairs {
		if past := p.judge.Past(); past != nil && !past.Conv().IsZero() {
			all = append(all, audit.Conversation{Past: past, Role: token.Visitor, User: p.user(oracle.FromVisitor), Group: p.group})
		}
	}
	return all
}
