package codec

import (
	"fmt"

	"github.com/switchyard-im/switchyard/bench/report"
)

// Report is what was measured. It is what the program writes and what users read.
type Report struct {
	Rounds      int     `json:"rounds"`
	Seconds     float64 `json:"seconds_per_measurement"` // of CPU
	TextBytes   int     `json:"text_bytes"`
	BatchOf     int     `json:"batch_of"` // messages
	Go          string  `json:"go"`       // that built the program
	RoundTrips  int     `json:"round_trips"`
	InvalidText string  `json:"invalid_text"` // what stood in the text for Guard.Text

	Codecs  []string          `json:"codecs"`  // names, in the order of the tables
	Modules map[string]string `json:"modules"` // name to module and version

	One    map[string]Figures `json:"one"`    // one message, by name
	Batch  map[string]Figures `json:"batch"`  // several at once; figures are per message
	Guards map[string]Guard   `json:"guards"` // what reading refuses
}

// Figures are those of one codec, per message.
type Figures struct {
	Bytes  float64 `json:"bytes"`
	Encode Cost    `json:"encode"`
	Decode Cost    `json:"decode"` // until all fields were read; what reads in place borrows
	Keep   Cost    `json:"keep"`   // until a message is there that owns its memory
}

// Cost of an operation, per message: CPU time of the process, collection of garbage included, and what was allocated.
type Cost struct {
	NS        report.Spread `json:"ns"`
	OfInPlace report.Spread `json:"of_in_place"` // divided by what in_place took in the same round
	Allocs    float64       `json:"allocs"`
	Allocated float64       `json:"allocated_bytes"`
}

// String is for tables.
func (c Cost) String() string {
	return fmt.Sprintf("%-21s x%-5.2f %6.1f", c.NS.Text(0), c.OfInPlace.Median, c.Allocs)
}

// Guard is what became of bytes that are no message.
type Guard struct {
	Cut      int    `json:"cut"`      // a message without its end, of every length
	Refused  int    `json:"refused"`  // of them, with an error
	Taken    int    `json:"taken"`    // of them, without
	Panicked int    `json:"panicked"` // of them
	Text     string `json:"text"`     // that is not UTF-8: "refused", "replaced" or "passed"
}

// String is for tables.
func (g Guard) String() string {
	return fmt.Sprintf("text that is not UTF-8 %s; of %d cut messages %d refused, %d taken, %d panicked", g.Text, g.Cut, g.Refused, g.Taken, g.Panicked)
}

// Rows are the report as a table.
func (r *Report) Rows() []report.Row {
	rows := []report.Row{
		{Name: "codecs", Value: fmt.Sprintf("%d; %d messages came back as they were from each", len(r.Codecs), r.RoundTrips)},
		{Name: "measured", Value: fmt.Sprintf("text of %d B; %d interleaved rounds of %g s of CPU; %s", r.TextBytes, r.Rounds, r.Seconds, r.Go)},
	}
	rows = append(rows, r.figures("one message", r.One)...)
	rows = append(rows, r.figures(fmt.Sprintf("batch of %d, per message", r.BatchOf), r.Batch)...)
	rows = append(rows, report.Row{Name: "what reading refuses", Value: ""})
	for _, name := range r.Codecs {
		rows = append(rows, report.Row{Name: "  " + name, Value: r.Guards[name]})
	}
	return rows
}

// figures are one table: a line of heads, and one for each codec.
func (r *Report) figures(head string, of map[string]Figures) []report.Row {
	column := func(operation string) string {
		return fmt.Sprintf("%-21s %-6s %6s", operation+", ns", "ratio", "allocs")
	}
	rows := []report.Row{{Name: head, Value: fmt.Sprintf("%7s | %s | %s | %s", "bytes", column("encode"), column("decode"), column("keep"))}}
	for _, name := range r.Codecs {
		f := of[name]
		rows = append(rows, report.Row{Name: "  " + name, Value: fmt.Sprintf("%7.1f | %v | %v | %v", f.Bytes, f.Encode, f.Decode, f.Keep)})
	}
	return rows
}
