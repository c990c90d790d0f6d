package report

import (
	"fmt"
	"reflect"
)

// maxMerged bounds a list of texts that come together, which are examples.
const maxMerged = 20

// Merge adds a report to another of the same type (pointers to structs), for two processes that drove parts of one load at the same time: numbers add up, a truth
// is one if either says so, texts stay unless there is none, lists of texts join up to 20. Of Percentiles the worse ones stay, since more is not known
// without the histograms. The tag merge:"max" keeps the greater number, merge:"keep" the first one's, because it is the same for all parts or is computed anew.
// What is of no such kind stays as it is.
func Merge(to, from any) {
	a, b := reflect.ValueOf(to), reflect.ValueOf(from)
	if a.Kind() != reflect.Pointer || a.Type() != b.Type() {
		panic(fmt.Sprintf("BUG: report: %T and %T cannot be merged", to, from))
	}
	merge(a.Elem(), b.Elem(), "")
}

func merge(a, b reflect.Value, how string) {
	if how == "keep" {
		return
	}
	switch {
	case a.CanInt() && (how != "max" || b.Int() > a.Int()):
		a.SetInt(pick(how, a.Int(), b.Int()))
	case a.CanFloat() && (how != "max" || b.Float() > a.Float()):
		a.SetFloat(pick(how, a.Float(), b.Float()))
	case a.Kind() == reflect.Bool:
		a.SetBool(a.Bool() || b.Bool())
	case a.Kind() == reflect.String && a.String() == "":
		a.SetString(b.String())
	case a.Kind() == reflect.Slice && a.Type().Elem().Kind() == reflect.String:
		more := max(0, min(b.Len(), maxMerged-a.Len()))
		a.Set(reflect.AppendSlice(a, b.Slice(0, more)))
	case a.Kind() == reflect.Pointer && a.Type().Elem().Kind() == reflect.Struct && !b.IsNil():
		if a.IsNil() {
			a.Set(reflect.New(a.Type().Elem()))
			a.Elem().Set(b.Elem())
			return
		}
		merge(a.Elem(), b.Elem(), "")
	case a.Type() == reflect.TypeFor[Percentiles]():
		a.Set(reflect.ValueOf(a.Interface().(Percentiles).Worst(b.Interface().(Percentiles))))
	case a.Kind() == reflect.Struct:
		for i := range a.NumField() {
			if field := a.Type().Field(i); field.IsExported() {
				merge(a.Field(i), b.Field(i), field.Tag.Get("merge"))
			}
		}
	}
}

// pick is the sum, or the second if the greater was looked for.
func pick[N int64 | float64](how string, a, b N) N {
	if how == "max" {
		return b
	}
	return a + b
}

// MergeCurves adds histograms to those of the same name; both maps may be nil. The first one's histograms change, the others' do not.
func MergeCurves(to, from map[string]*Latency) map[string]*Latency {
	if to == nil {
		to = map[string]*Latency{}
	}
	for name, l := range from {
		if to[name] == nil {
			to[name] = NewLatency()
		}
		to[name].Merge(l)
	}
	return to
}
