package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// progress writes one line each second: in place on a terminal, one below the other elsewhere. Used by one goroutine.
type progress struct {
	w       io.Writer
	inPlace bool
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		p.inPlace = err == nil
	}
	return p
}

func (p *progress) line(format string, args ...any) {
	if p.inPlace {
		fmt.Fprintf(p.w, "\r\033[K"+format, args...)
		return
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

// text writes a line that is complete.
func (p *progress) text(line string) { p.line("%s", line) }

// done ends the line, before the table.
func (p *progress) done() {
	if p.inPlace {
		fmt.Fprint(p.w, "\r\033[K")
	}
}
