package switchyard

// notices are what the server said about conversations and the application did not take yet: the last one of each conversation,
// in the order of their first arrival, at most maxNotices. When there are more, the oldest goes, and once the rest was taken the
// server is asked for the list again. Guarded by the client's mutex.
type notices struct {
	order    []ID
	byID     map[ID]Notice
	wake     chan struct{} // holds one token while a reader may find something
	overflow bool
	err      error
}

const maxNotices = 1024

func newNotices() notices { return notices{byID: map[ID]Notice{}, wake: make(chan struct{}, 1)} }

func (q *notices) put(n Notice) {
	if _, waiting := q.byID[n.Conversation]; !waiting {
		q.order = append(q.order, n.Conversation)
	}
	q.byID[n.Conversation] = n
	if len(q.order) > maxNotices {
		delete(q.byID, q.order[0])
		q.order = q.order[1:]
		q.overflow = true
	}
	q.notify()
}

// take returns the next notice; relist tells that the queue has just run empty after an overflow.
func (q *notices) take() (n Notice, ok, relist bool, err error) {
	if len(q.order) == 0 {
		if q.err != nil {
			q.notify()
		}
		return Notice{}, false, false, q.err
	}
	n = q.byID[q.order[0]]
	delete(q.byID, q.order[0])
	q.order = q.order[1:]
	if len(q.order) > 0 {
		q.notify()
		return n, true, false, nil
	}
	relist, q.overflow = q.overflow, false
	return n, true, relist, nil
}

func (q *notices) fail(err error) {
	q.err = err
	q.notify()
}

func (q *notices) notify() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
