package dispatch

import (
	"github.com/switchyard-im/switchyard/dispatch/core"
)

// audit logs what supervisors did, after it is durable. These are rare; what applications do is logged by whoever takes their requests.
func (c *Center) audit(done []core.Audit) {
	for i := range done {
		a := &done[i]
		if a.Action == core.AuditStatus {
			c.auditLog.Info("supervisor", "action", string(a.Action), "by", a.By, "agent", a.Agent, "status", int(a.Status), "capacity", a.Capacity)
			continue
		}
		c.auditLog.Info("supervisor", "action", string(a.Action), "by", a.By, "conversation", a.Conv.String(), "group", a.Group, "agent", a.Agent)
	}
}
