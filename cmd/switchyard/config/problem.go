package config

import (
	"fmt"
	"strings"
)

// Origin tells where a value came from: "switchyard.yaml:12:3", "SWITCHYARD_SERVER_LISTEN", "--listen" or "default".
type Origin string

const fromDefault Origin = "default"

// Problem is one thing that is wrong with the configuration, in a sentence that ends with the remedy.
type Problem struct {
	Origin Origin
	Path   string // of the option, or empty
	Text   string
}

// String is the line that an operator reads, in the form that editors can jump to.
func (p Problem) String() string {
	if p.Path == "" {
		return fmt.Sprintf("%s: %s", p.Origin, p.Text)
	}
	return fmt.Sprintf("%s: %s: %s", p.Origin, p.Path, p.Text)
}

// Problems is the error that Load returns: all that is wrong, not just the first.
type Problems []Problem

// Error has one problem on each line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps *Problems) add(origin Origin, path, format string, args ...any) {
	*ps = append(*ps, Problem{Origin: origin, Path: path, Text: fmt.Sprintf(format, args...)})
}

// didYouMean offers the nearest of the candidates, if one is near enough to be a slip.
func didYouMean(name string, candidates []string) string {
	best, least := "", len(name)/2+1
	for _, c := range candidates {
		if d := distance(name, c); d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance counts the single-byte insertions, deletions, substitutions and swaps of neighbours between a and b (optimal
// string alignment), ignoring case.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			rows[i][j] = step(rows, a, b, i, j)
		}
	}
	return rows[len(a)][len(b)]
}

func step(rows [][]int, a, b string, i, j int) int {
	substitute := rows[i-1][j-1]
	if a[i-1] != b[j-1] {
		substitute++
	}
	d := min(substitute, rows[i-1][j]+1, rows[i][j-1]+1)
	if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
		d = min(d, rows[i-2][j-2]+1)
	}
	return d
}
