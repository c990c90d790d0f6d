package observe

import (
	"math"
	"testing"
)

func TestProcessors(t *testing.T) {
	before, err := parseProcessors("cpu  100 100 100 1000 200 50 50 100 7 8\ncpu0 1 2 3\n")
	if err != nil || before != (Processors{Total: 17, Idle: 12, Stolen: 1}) {
		t.Fatalf("%+v, %v", before, err)
	}
	after, err := parseProcessors("cpu  300 100 100 1100 200 50 50 200 7 8\n")
	if err != nil {
		t.Fatal(err)
	}
	if busy, stolen := after.Since(before); math.Abs(busy-0.75) > 1e-9 || math.Abs(stolen-0.25) > 1e-9 {
		t.Errorf("%v busy, %v stolen", busy, stolen)
	}
	if busy, stolen := after.Since(after); busy != 0 || stolen != 0 {
		t.Errorf("%v busy, %v stolen in no time", busy, stolen)
	}
	for _, text := range []string{"", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3 4 5 x 7 8"} {
		if p, err := parseProcessors(text); err == nil {
			t.Errorf("%q is read as %+v", text, p)
		}
	}
	if p, err := ReadProcessors(); err != nil || p.Total <= 0 || p.Idle > p.Total {
		t.Errorf("%+v, %v", p, err)
	}
}
