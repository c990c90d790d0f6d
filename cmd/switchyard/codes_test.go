package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReservedCodes: the table of codes calls reserved what no part of the server names, and nothing else, of the codes that are our own. A user who
// reads it knows what to expect.
func TestReservedCodes(t *testing.T) {
	table, err := os.ReadFile("../../frame/codes_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, part := range []string{"cmd/switchyard", "netserver", "dispatch", "sink"} {
		if err := filepath.WalkDir("../../"+part, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			source.Write(text)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	codes := regexp.MustCompile(`(?m)^\t((?:Error|Close)\w+) += (\d|\d\d|4\d\d\d) +// (.*)$`).FindAllStringSubmatch(string(table), -1)
	if len(codes) < 30 {
		t.Fatalf("only %d codes were found", len(codes))
	}
	for _, code := range codes {
		reserved := strings.HasPrefix(code[3], "Reserved, not sent: ")
		if named := regexp.MustCompile(`\bframe\.` + code[1] + `\b`).MatchString(source.String()); named == reserved {
			t.Errorf("%s (%s): reserved %t, and the server names it: %t", code[1], code[2], reserved, named)
		}
	}
}
