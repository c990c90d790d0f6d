package history

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/switchyard-im/switchyard/frame"
)

// Queries are the questions about many conversations. Client answers them from ClickHouse, Embedded from the store on the disk.
type Queries interface {
	// Search finds messages by their words, newest first.
	Search(ctx context.Context, q Search) (Found, error)
	// Report measures the conversations that were opened in a time.
	Report(ctx context.Context, q Report) (Table, error)
}

// Search asks for messages written by people (no events) that hold all of the words, in any order and case. A word is what stands between characters
// of ASCII that are neither letters nor digits.
type Search struct {
	Words  string
	Groups []string // only conversations that belong to one of these groups
	FromMS uint64   // accepted at or after
	ToMS   uint64   // accepted before; 0: no bound
	After  Cursor   // the Next of the page before; the zero Cursor for the first page
	Limit  int      // 1 to 200
}

// Found is a page of a search. It may be shorter than the limit and still have a Next.
type Found struct {
	Messages []frame.Message
	Next     Cursor // zero: that was all
	// Complete is false if the search ended before it had looked at everything, because it would have taken too long.
	Complete bool
}

// Cursor is a place in the order of a search: newest first, then by conversation and sequence.
type Cursor struct {
	TimeMS uint64
	Conv   frame.ID
	Seq    uint64
}

// String is what ParseCursor reads; empty for the zero Cursor.
func (c Cursor) String() string {
	if c == (Cursor{}) {
		return ""
	}
	return fmt.Sprintf("%d.%s.%d", c.TimeMS, c.Conv, c.Seq)
}

var errCursor = errors.New("history: not a cursor; give the next of an answer as it is")

// ParseCursor reads what String wrote.
func ParseCursor(s string) (c Cursor, err error) {
	if s == "" {
		return c, nil
	}
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return c, errCursor
	}
	if c.Conv, err = frame.ParseID(parts[1]); err != nil {
		return Cursor{}, errCursor
	}
	if _, err := fmt.Sscanf(parts[0]+" "+parts[2], "%d %d", &c.TimeMS, &c.Seq); err != nil || c.String() != s || c.TimeMS == 0 || c.TimeMS > maxTimeMS {
		return Cursor{}, errCursor
	}
	return c, nil
}

// Measure is what a report measures.
type Measure string

// The measures. All but ratings are times in milliseconds. A conversation counts where it has both ends of its time.
const (
	FirstReply Measure = "first-reply" // from opened to the first message of an agent that it was assigned to
	QueueTime  Measure = "queue"       // from opened to first assigned
	HandleTime Measure = "handle"      // from first assigned to last closed
	Ratings    Measure = "ratings"     // the last rating, 1 to 5
)

// Dimension is by what a report is divided.
type Dimension string

// The dimensions.
const (
	ByAgent Dimension = "agent" // who had it last
	ByGroup Dimension = "group" // to which it belonged last
	ByDay   Dimension = "day"   // when it was opened, in UTC
)

// Report asks for a measure of the conversations that were opened from FromMS on and before ToMS (0: no bound), and belong to one of the groups.
type Report struct {
	Measure Measure
	By      Dimension
	Groups  []string
	FromMS  uint64
	ToMS    uint64
}

// Table is a report, in the order of its keys.
type Table struct {
	Lines []Line
	// Complete is false if the report ended before it had looked at everything, because it would have taken too long.
	Complete bool
}

// Line is one key of a report: an agent, a group, or a day as 2006-01-02. Percentiles are values that occurred.
type Line struct {
	Key           string
	Count         uint64
	Mean          float64
	P50, P90, P99 uint64
}
