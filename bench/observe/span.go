package observe

import (
	"context"
	"errors"
)

// Span is a time over which use is measured.
type Span struct {
	source Source
	before Usage
	failed error
	self   float64
}

// Used is what was used over a span.
type Used struct {
	Self   float64 // CPU of this process, in seconds
	Server *Usage  // of the server: its CPU over the span, and its memory at the end; nil if that is not known
	Note   string  // why, if a source was given
}

// Begin begins a span. The source may be nil.
func Begin(ctx context.Context, source Source) Span {
	s := Span{source: source, self: Self()}
	if source != nil {
		s.before, s.failed = source.Read(ctx)
	}
	return s
}

// End ends it.
func (s Span) End(ctx context.Context) Used {
	u := Used{Self: Self() - s.self}
	if s.source == nil {
		return u
	}
	after, err := s.source.Read(ctx)
	used, differ := Between(s.before, after)
	if err := errors.Join(s.failed, err, differ); err != nil {
		u.Note = err.Error()
		return u
	}
	u.Server = &used
	return u
}
