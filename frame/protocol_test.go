package frame

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/frame/internal/codes"
)

// update rewrites the examples in PROTOCOL.md and testdata/vectors.json; read the difference before you commit it.
var update = flag.Bool("update", false, "rewrite what is made from the code")

// explain writes a frame field by field: its bytes, the field's name, its value in JSON.
func explain(t *testing.T, f []byte) string {
	t.Helper()
	var b strings.Builder
	typ, n, rest, err := frameHead(f)
	if err != nil {
		t.Fatal(err)
	}
	b.WriteString("```\n")
	line := func(raw []byte, format string, args ...any) {
		h := strings.TrimRight(fmt.Sprintf("% x", raw), " ")
		fmt.Fprintf(&b, "%-56s %s\n", h, fmt.Sprintf(format, args...))
	}
	line(f[:1], "an array of %d", n)
	line(f[1:2], "type: %s", typ)
	for i := 1; i < n; i++ {
		after, err := skipValue(rest)
		if err != nil {
			t.Fatal(err)
		}
		w := jsonWriter{src: rest}
		w.field(fieldKindAt(typ, i))
		value := rest[:len(rest)-len(after)]
		label := fieldName(typ, i) + ": " + string(w.dst)
		if len(value) <= 18 {
			line(value, "%s", label)
		} else {
			fmt.Fprintf(&b, "%-56s %s\n", fmt.Sprintf("% x ... (%d bytes)", value[:12], len(value)), fieldName(typ, i))
		}
		rest = after
	}
	text, err := AppendJSON(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "\n%s\n```\n", text)
	return b.String()
}

// PROTOCOL.md has, for each frame, a table with the schema's fields and an example made by Append.
func TestProtocolPage(t *testing.T) {
	page, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	want := string(page)
	for _, m := range sample() {
		s := schemaOf[typeOf(t, m)]
		want = replaceSection(t, want, s, explain(t, m.Append(nil)))
	}
	if *update {
		if err := os.WriteFile("PROTOCOL.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Error("the examples in PROTOCOL.md are not current: go test ./frame -run TestProtocolPage -update")
	}
}

// replaceSection checks the section of a frame and puts the example at its end.
func replaceSection(t *testing.T, page string, s *schema, example string) string {
	t.Helper()
	before, section, ok := strings.Cut(page, "<!-- frame "+s.name+" -->\n")
	section, after, ended := strings.Cut(section, "<!-- end -->")
	if !ok || !ended {
		t.Fatalf("no section for %s", s.name)
	}
	way := map[string]string{"client": "client to server", "server": "server to client", "both": "both ways"}[s.from]
	if heading := fmt.Sprintf("### %s, 0x%02x, %s\n", s.name, uint8(s.typ), way); !strings.HasPrefix(section, heading) {
		t.Errorf("%s: the heading should be %q", s.name, heading)
	}
	var rows []string
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+) \| (\w+\??) \|`).FindAllStringSubmatch(section, -1) {
		rows = append(rows, row[1]+" "+row[2])
	}
	want := []string{"field kind"}
	for _, f := range s.fields {
		want = append(want, f.name+" "+string(f.kind))
	}
	if strings.Join(rows, ", ") != strings.Join(want, ", ") {
		t.Errorf("%s: the table has\n%q, want\n%q", s.name, rows, want)
	}
	text, _, _ := strings.Cut(section, "\n```\n")
	return before + "<!-- frame " + s.name + " -->\n" + strings.TrimRight(text, "\n") + "\n\n" + example + "<!-- end -->" + after
}

// codes_gen.go and docs/codes.md are what the table gives.
func TestCodesAreCurrent(t *testing.T) {
	in, err := os.ReadFile("codes.tsv")
	if err != nil {
		t.Fatal(err)
	}
	table, err := codes.Read(bytes.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	source, err := table.Go()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]byte{"codes_gen.go": source, "../docs/codes.md": table.Markdown()} {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not current: go generate ./frame (%v)", path, err)
		}
	}
	for _, c := range table {
		switch c.Kind {
		case "error":
			if n := uint64(c.Number); ErrorName(n) != c.Name || ErrorRetry(n) != c.Retry {
				t.Errorf("error %d: %s, %v", n, ErrorName(n), ErrorRetry(n))
			}
		case "close":
			if CloseName(c.Number) != c.Name || CloseReconnects(c.Number) != c.Retry {
				t.Errorf("close %d: %s, %v", c.Number, CloseName(c.Number), CloseReconnects(c.Number))
			}
		}
	}
}

func TestUnknownCodes(t *testing.T) {
	if ErrorName(999) != "999" || ErrorRetry(999) || CloseName(4999) != "4999" {
		t.Error("unknown codes go by their number and are not retried")
	}
	for code, want := range map[int]bool{1005: true, 1006: true, 3000: true, 4499: true, 4500: false, 4999: false} {
		if CloseReconnects(code) != want {
			t.Errorf("CloseReconnects(%d) = %v", code, !want)
		}
	}
}
