// Command gencodes makes codes_gen.go and docs/codes.md of codes.tsv. It is run by go generate in package frame, whose tests check
// that both are current.
package main

import (
	"log"
	"os"

	"github.com/switchyard-im/switchyard/frame/internal/codes"
)

func main() {
	log.SetFlags(0)
	if err := generate(); err != nil {
		log.Fatal("gencodes: ", err)
	}
}

// generate runs in the directory of package frame.
func generate() error {
	f, err := os.Open("codes.tsv")
	if err != nil {
		return err
	}
	defer f.Close()
	table, err := codes.Read(f)
	if err != nil {
		return err
	}
	source, err := table.Go()
	if err != nil {
		return err
	}
	if err := os.WriteFile("codes_gen.go", source, 0o644); err != nil {
		return err
	}
	return os.WriteFile("../docs/codes.md", table.Markdown(), 0o644)
}
