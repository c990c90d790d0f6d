package observe

import (
	"bufio"
	"strings"
	"testing"
)

func TestFacts(t *testing.T) {
	f := ReadFacts()
	if f.Cores < 1 || f.Memory < 1<<20 || !strings.HasPrefix(f.Kernel, "Linux ") || !strings.HasPrefix(f.Go, "go") || f.Arch == "" {
		t.Errorf("%+v", f)
	}
	text := "processor\t: 0\nvendor_id\t: X\nmodel name\t: Some CPU @ 2 GHz: fast\nprocessor\t: 1\nmodel name\t: Other\n"
	if got := parseModel(bufio.NewScanner(strings.NewReader(text))); got != "Some CPU @ 2 GHz: fast" {
		t.Errorf("%q", got)
	}
	if got := parseModel(bufio.NewScanner(strings.NewReader("processor: 0\n"))); got != "" {
		t.Errorf("%q", got)
	}
}
