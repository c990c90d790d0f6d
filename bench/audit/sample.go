package audit

import "math/rand/v2"

// maxSample bounds what a Sample keeps if the configuration does not; beyond it conversations are chosen at random too.
const maxSample = 100_000

// Sample keeps the conversations that are going to be read back, of a scenario that does not know beforehand how many there will be: each has the same
// chance. Owned by one goroutine.
type Sample struct {
	limit int
	seen  int
	kept  []Conversation
}

// NewSample makes one of some parts that share the configuration's number evenly; of no configuration it keeps nothing.
func (c *Config) NewSample(parts int) *Sample {
	switch {
	case c == nil:
		return &Sample{}
	case c.Sample == 0:
		return &Sample{limit: maxSample}
	}
	return &Sample{limit: min((c.Sample+parts-1)/parts, maxSample)}
}

// Add offers a conversation whose load is over; make is called if it is kept.
func (s *Sample) Add(make func() Conversation) {
	s.seen++
	if len(s.kept) < s.limit {
		s.kept = append(s.kept, make())
		return
	}
	if i := rand.IntN(s.seen); i < s.limit {
		s.kept[i] = make()
	}
}

// Conversations are those that were kept.
func (s *Sample) Conversations() []Conversation { return s.kept }
