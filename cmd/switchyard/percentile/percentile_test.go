package percentile

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func histogram(reg *prometheus.Registry, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "test_seconds", Buckets: prometheus.DefBuckets, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 400,
	}, labels)
	reg.MustRegister(h)
	return h
}

func window(reg *prometheus.Registry) *Window {
	return New(Config{Gatherer: reg, Metric: "test_latency_seconds", Help: "h", Stages: map[string]string{"test_seconds": "commit"}})
}

// exact is the nearest-rank quantile.
func exact(values []float64, q float64) float64 {
	slices.Sort(values)
	return values[max(int(math.Ceil(q*float64(len(values))))-1, 0)]
}

func checkQuantiles(t *testing.T, w *Window, values []float64, what string) {
	t.Helper()
	for _, q := range quantiles {
		got, want := w.Quantile("commit", q.q), exact(values, q.q)
		if math.Abs(got-want) > 0.1*want {
			t.Errorf("%s: quantile %s is %g, exactly %g", what, q.label, got, want)
		}
	}
}

func TestQuantilesAgainstExactOnes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	shapes := map[string]func() float64{
		"uniform":     func() float64 { return 1e-4 + rng.Float64()*1e-2 },
		"exponential": func() float64 { return 1e-5 + rng.ExpFloat64()*1e-3 },
		"log normal":  func() float64 { return 1e-3 * math.Exp(rng.NormFloat64()) },
		"constant":    func() float64 { return 0.0123 },
	}
	for name, draw := range shapes {
		reg := prometheus.NewRegistry()
		h, w := histogram(reg), window(reg)
		w.sample()
		values := make([]float64, 20_001)
		for i := range values {
			values[i] = draw()
			h.WithLabelValues().Observe(values[i])
		}
		w.sample()
		checkQuantiles(t, w, values, name)
	}
}

func TestOnlyTheLastMinuteCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		h, w := histogram(reg), window(reg)
		ctx, cancel := context.WithCancel(t.Context())
		go w.Run(ctx)
		synctest.Wait()
		h.WithLabelValues().Observe(10)
		time.Sleep(30 * time.Second)
		h.WithLabelValues().Observe(0.001)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		checkQuantiles(t, w, []float64{0.001, 10}, "both in the window")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		checkQuantiles(t, w, []float64{0.001}, "the first has left")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.Quantile("commit", 0.5); !math.IsNaN(got) {
			t.Errorf("with nothing in the window: %g, want NaN", got)
		}
		cancel()
		synctest.Wait()
	})
}

func TestLabelsAreSummed(t *testing.T) {
	reg := prometheus.NewRegistry()
	h, w := histogram(reg, "level"), window(reg)
	w.sample()
	var values []float64
	for i := range 1000 {
		values = append(values, float64(i+1)/1000)
		h.WithLabelValues(fmt.Sprint(i % 3)).Observe(values[i])
	}
	w.sample()
	checkQuantiles(t, w, values, "three series")
}

func TestCoarserHistogramsAndResets(t *testing.T) {
	fine := &distribution{schema: 3, buckets: map[int32]uint64{}}
	for i := int32(-40); i < 40; i++ {
		fine.buckets[i] = 5
	}
	coarse := fine.clone()
	coarse.coarsen(1)
	if coarse.count() != fine.count() {
		t.Fatalf("coarsening changes the count from %g to %g", fine.count(), coarse.count())
	}
	for _, q := range []float64{0.1, 0.5, 0.9} {
		if a, b := fine.quantile(q), coarse.quantile(q); math.Abs(a-b) > 0.42*a {
			t.Errorf("quantile %g: %g fine, %g coarse", q, a, b)
		}
	}
	more := coarse.clone()
	more.buckets[3] += 7
	if n := more.since(fine).count(); n != 7 {
		t.Errorf("the difference over a change of schema has %g observations, want 7", n)
	}
	if n := coarse.since(more).count(); n != coarse.count() {
		t.Errorf("after a reset %g observations count, want all %g", n, coarse.count())
	}
}

func TestZeroAndClassicHistograms(t *testing.T) {
	reg := prometheus.NewRegistry()
	h, w := histogram(reg), window(reg)
	w.sample()
	for range 10 {
		h.WithLabelValues().Observe(0)
	}
	w.sample()
	if got := w.Quantile("commit", 0.99); got > 1e-9 {
		t.Errorf("all zero: %g", got)
	}
	classic := prometheus.NewRegistry()
	c := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "test_seconds"})
	classic.MustRegister(c)
	c.Observe(1)
	w = window(classic)
	w.sample()
	if got := w.Quantile("commit", 0.5); !math.IsNaN(got) {
		t.Errorf("a histogram without native buckets: %g, want NaN", got)
	}
}

func TestCollect(t *testing.T) {
	reg, out := prometheus.NewRegistry(), prometheus.NewRegistry()
	h, w := histogram(reg), window(reg)
	out.MustRegister(w)
	if n, err := testutil.GatherAndCount(out); n != len(quantiles) || err != nil {
		t.Errorf("%d series, %v; want %d even with nothing observed", n, err, len(quantiles))
	}
	w.sample()
	h.WithLabelValues().Observe(0.25)
	w.sample()
	families, err := out.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "test_latency_seconds" {
		t.Fatalf("%v, %v", families, err)
	}
	text := fmt.Sprint(families[0].GetMetric())
	for _, want := range []string{"commit", "0.999"} {
		if !strings.Contains(text, want) {
			t.Errorf("the series lack %s: %s", want, text)
		}
	}
}
