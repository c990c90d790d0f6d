package dispatch

import (
	"encoding/binary"
	"sync"

	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// profilesKept bounds those that are shared; more kinds of visitors than this do not come from one application.
const profilesKept = 1024

// profiles makes what an identity has beside its name. There are very many visitors at a time, whose tokens name one of a few sets of groups, or
// none: they share it.
type profiles struct {
	mu    sync.Mutex
	known map[string]*desk.Profile // by key; guarded by mu
}

// of returns the profile of a token's bearer, which nobody changes; nil if it is empty.
func (p *profiles) of(id *auth.Identity) *desk.Profile {
	if id.Role != frame.RoleVisitor {
		return &desk.Profile{Groups: id.Groups, Capacity: id.Capacity, Weight: id.Weight, Skills: id.Skills, Languages: id.Languages}
	}
	if len(id.Groups) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := profileKey(id.Groups)
	if shared, ok := p.known[string(key)]; ok {
		return shared
	}
	if p.known == nil || len(p.known) >= profilesKept {
		p.known = make(map[string]*desk.Profile)
	}
	made := &desk.Profile{Groups: id.Groups}
	p.known[string(key)] = made
	return made
}

// profileKey tells sets of groups apart, whatever is in their names.
func profileKey(groups []string) (key []byte) {
	for _, g := range groups {
		key = append(binary.AppendUvarint(key, uint64(len(g))), g...)
	}
	return key
}
