package report

import "testing"

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{9, 1}, Spread{5, 1, 9}},
		{[]float64{5, 1, 2}, Spread{2, 1, 5}},
		{[]float64{4, 1, 3, 2}, Spread{2.5, 1, 4}},
	} {
		if got := NewSpread(c.values); got != c.want {
			t.Errorf("%v: %+v", c.values, got)
		}
	}
	if got := (Spread{41.26, 40, 1234.5}).Text(1); got != "41.3 (40.0-1234.5)" {
		t.Error(got)
	}
}
