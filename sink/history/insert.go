package history

import (
	"context"
	"errors"
)

// inserter inserts rows and finds those that ClickHouse does not want.
type inserter struct {
	// try calls insert until it ends well or the error is a Fault of ClassPoison; it may give up with any other error.
	try func(ctx context.Context, insert func(context.Context) error) error
	// reject keeps a row that was refused on its own.
	reject func(ctx context.Context, table string, r *Row, err error) error
	writer *writer
	// again tells that the rows were sent before, by a process that did not live to see the end of it.
	again bool
}

// insert writes all rows but those that are rejected. A batch with a row that is not wanted is halved until that row is alone, which
// takes two inserts for each halving; the tokens of the halves are made from the whole's, so that after a crash all of it comes out the same.
func (i *inserter) insert(ctx context.Context, c columns, rows []Row, token string) error {
	c.fill(rows)
	return i.insertFilled(ctx, c, rows, token)
}

// insertFilled does so with columns that hold the rows already.
func (i *inserter) insertFilled(ctx context.Context, c columns, rows []Row, token string) error {
	if len(rows) == 0 {
		return nil
	}
	err := i.try(ctx, i.attempt(c, rows, token))
	var fault *Fault
	switch {
	case !errors.As(err, &fault) || fault.Class != ClassPoison:
		return err
	case len(rows) == 1:
		return i.reject(ctx, c.table(), &rows[0], fault.Err)
	}
	half := len(rows) / 2
	if err := i.insert(ctx, c, rows[:half], halfToken(token, 0)); err != nil {
		return err
	}
	return i.insert(ctx, c, rows[half:], halfToken(token, 1))
}

// attempt is one insert, to be tried until it ends well. The token counts for the first attempt only: a ClickHouse that was killed may know the token and
// not have the rows, because it notes the one before it has the other. So when it is not known how an insert ended, its end is awaited, ClickHouse is asked
// whether the rows are there, and if they are not, they are inserted without a token.
func (i *inserter) attempt(c columns, rows []Row, token string) func(context.Context) error {
	uncertain := i.again
	id := i.writer.database + "." + c.table() + " " + token // of each attempt, also by the process before this one
	return func(ctx context.Context) error {
		if !uncertain {
			err := i.writer.insert(ctx, c, id, token)
			uncertain = err != nil
			return err
		}
		if err := i.writer.settled(ctx, id); err != nil {
			return err
		}
		if there, err := i.writer.holds(ctx, c.table(), rows); there || err != nil {
			return err
		}
		return i.writer.insert(ctx, c, id, "")
	}
}
