package report

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Figures returns the numbers of a report by name. A name is the path of JSON names, joined with "_": server.cpu_us_per_message is
// server_cpu_us_per_message. Percentiles lose the unit of their own name: deliver_ms.p99 is deliver_p99, in milliseconds. Elements of lists are left out, as they
// have no name, and what a run could not tell: percentiles of nothing among it, or a threshold would hold because nothing was measured.
func Figures(report any) map[string]float64 {
	figures := map[string]float64{}
	walk(reflect.ValueOf(report), "", func(name string, v reflect.Value) {
		switch {
		case v.CanInt():
			figures[name] = float64(v.Int())
		case v.CanUint():
			figures[name] = float64(v.Uint())
		case v.CanFloat():
			figures[name] = v.Float()
		case v.Bool():
			figures[name] = 1
		default:
			figures[name] = 0
		}
	})
	return figures
}

// FigureNames lists the figures that a report of this type may have, sorted. A name that ends in "_*" stands for all names that begin with what is before the
// star: those that only the run tells.
func FigureNames(t reflect.Type) []string {
	names := map[string]bool{}
	walkType(t, "", names, nil)
	return slices.Sorted(maps.Keys(names))
}

// walk calls visit for each number and truth value.
func walk(v reflect.Value, name string, visit func(string, reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			walk(v.Elem(), name, visit)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Percentiles]() && v.IsZero() {
			return
		}
		for i := range v.NumField() {
			if part, ok := fieldName(v.Type(), i); ok {
				walk(v.Field(i), join(name, part), visit)
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if key.Kind() == reflect.String {
				walk(v.MapIndex(key), join(name, Name(key.String())), visit)
			}
		}
	default:
		if isFigure(v.Kind()) {
			visit(name, v)
		}
	}
}

// walkType is walk without values. Within are the types that it is in, since a type may hold itself.
func walkType(t reflect.Type, name string, names map[string]bool, within []reflect.Type) {
	if slices.Contains(within, t) {
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		walkType(t.Elem(), name, names, within)
	case reflect.Struct:
		for i := range t.NumField() {
			if part, ok := fieldName(t, i); ok {
				walkType(t.Field(i).Type, join(name, part), names, append(within, t))
			}
		}
	case reflect.Map, reflect.Interface:
		names[join(name, "*")] = true
	default:
		if isFigure(t.Kind()) {
			names[name] = true
		}
	}
}

func isFigure(k reflect.Kind) bool {
	switch k {
	case reflect.Bool, reflect.Float32, reflect.Float64, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

// fieldName is what encoding/json calls field i of a struct, "" for a struct that is embedded, whose fields stand in its place; false if it leaves the
// field out.
func fieldName(t reflect.Type, i int) (string, bool) {
	f := t.Field(i)
	tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch {
	case tag == "-" || !f.IsExported() && !f.Anonymous:
		return "", false
	case tag == "" && f.Anonymous:
		return "", true
	case tag == "":
		return Name(f.Name), true
	}
	if inner := f.Type; inner == reflect.TypeFor[Percentiles]() || inner == reflect.TypeFor[*Percentiles]() {
		tag = strings.TrimSuffix(tag, "_ms")
	}
	return tag, true
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "_" + b
}

// Name is what a figure has in its name for the key of a map: small letters, digits and "_".
func Name(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, s)
}

// Unit of a figure, told by its name: "ms", "us", "ns", "s", "B", "/s", "%" for a part of 1, or "" for a number of things.
func Unit(figure string) string {
	parts := strings.Split(figure, "_")
	last := parts[len(parts)-1]
	has := func(part string) bool { return slices.Contains(parts, part) }
	switch {
	case last == "ratio":
		return ""
	case slices.Contains([]string{"p50", "p90", "p99", "p999", "p9999"}, last), last == "max", has("ms"):
		return "ms"
	case has("ns"):
		return "ns"
	case has("us"):
		return "us"
	case has("bytes"), last == "rss":
		return "B"
	case has("rate"):
		return "/s"
	case has("seconds"), last == "s":
		return "s"
	case has("share"):
		return "%"
	}
	return ""
}
