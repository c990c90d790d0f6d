package desk

// tree is an ordered set whose nodes lie in what they order: a treap that knows the size of each subtree, so that the place of a node is
// found in O(log n), as are insert, remove and first. A node is in one tree at most; what compare looks at must not change meanwhile.
type tree[T any] struct {
	root    *node[T]
	compare func(a, b T) int // total: 0 only for the same value
	seed    uint32
}

// node is a place in a tree. The zero value with its value set is in none.
type node[T any] struct {
	value           T
	up, left, right *node[T]
	size            int32  // of the subtree; 0: in no tree
	weight          uint32 // a parent's is not less than its children's
}

func (n *node[T]) in() bool { return n.size > 0 }

func (t *tree[T]) len() int { return count(t.root) }

func count[T any](n *node[T]) int {
	if n == nil {
		return 0
	}
	return int(n.size)
}

func (t *tree[T]) insert(n *node[T]) {
	t.seed = t.seed*1664525 + 1013904223 // any spread will do: nobody chooses both the order of events and this
	n.size, n.weight = 1, t.seed^t.seed>>16
	link := &t.root
	for *link != nil {
		n.up = *link
		n.up.size++
		if t.compare(n.value, n.up.value) < 0 {
			link = &n.up.left
		} else {
			link = &n.up.right
		}
	}
	*link = n
	for n.up != nil && n.weight > n.up.weight {
		t.lift(n)
	}
}

func (t *tree[T]) remove(n *node[T]) {
	for n.left != nil || n.right != nil {
		if n.right == nil || n.left != nil && n.left.weight > n.right.weight {
			t.lift(n.left)
		} else {
			t.lift(n.right)
		}
	}
	t.replace(n, nil)
	for p := n.up; p != nil; p = p.up {
		p.size--
	}
	n.up, n.size = nil, 0
}

// lift puts n above its parent.
func (t *tree[T]) lift(n *node[T]) {
	p, inner := n.up, n.right
	if p.left == n {
		p.left, n.right = inner, p
	} else {
		inner = n.left
		p.right, n.left = inner, p
	}
	if inner != nil {
		inner.up = p
	}
	t.replace(p, n)
	n.up, p.up = p.up, n
	n.size, p.size = p.size, int32(1+count(p.left)+count(p.right))
}

// replace puts n (or nothing) where p hangs.
func (t *tree[T]) replace(p, n *node[T]) {
	switch {
	case p.up == nil:
		t.root = n
	case p.up.left == p:
		p.up.left = n
	default:
		p.up.right = n
	}
}

// first returns the first node, nil if the tree is empty.
func (t *tree[T]) first() *node[T] { return t.root.leftmost() }

func (n *node[T]) leftmost() *node[T] {
	for n != nil && n.left != nil {
		n = n.left
	}
	return n
}

// at returns the node that has place nodes before it, nil if there are not so many.
func (t *tree[T]) at(place int) *node[T] {
	n := t.root
	for n != nil {
		switch before := count(n.left); {
		case place < before:
			n = n.left
		case place == before:
			return n
		default:
			place -= before + 1
			n = n.right
		}
	}
	return nil
}

// next returns the node after n in the order, nil if n is the last.
func (n *node[T]) next() *node[T] {
	if n.right != nil {
		return n.right.leftmost()
	}
	for n.up != nil && n.up.right == n {
		n = n.up
	}
	return n.up
}

// place tells how many nodes are before n.
func (n *node[T]) place() int {
	before := count(n.left)
	for ; n.up != nil; n = n.up {
		if n.up.right == n {
			before += 1 + count(n.up.left)
		}
	}
	return before
}
