package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// EnvPrefix starts the name of every environment variable of the configuration.
const EnvPrefix = "SWITCHYARD_"

// option is one value of a Config, found by walking the struct.
type option struct {
	path   string // server.listen
	def    string // in the file's spelling
	doc    string
	min    string
	max    string
	oneOf  []string
	value  reflect.Value // settable, in the Config that was walked
	origin Origin
}

// section is one struct of a Config: a heading of the file and of the documentation.
type section struct {
	path    string
	doc     string
	options []*option
}

func (o *option) env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(o.path, ".", "_"))
}

func (o *option) name() string { return o.path[strings.LastIndexByte(o.path, '.')+1:] }

func (o *option) isList() bool { return o.value.Kind() == reflect.Slice }

// kind names the option's type for people.
func (o *option) kind() string {
	switch o.value.Interface().(type) {
	case Duration:
		return "duration"
	case Size:
		return "size"
	case Address, MaybeAddress:
		return "address"
	case []string:
		return "list"
	case bool:
		return "switch"
	case string:
		return "text"
	default:
		return "number"
	}
}

// walk returns the sections of a Config in the order of its fields. The struct is part of the program, so a tag that cannot
// be read is our own bug.
func walk(c *Config) []*section {
	return walkStruct(nil, reflect.ValueOf(c).Elem(), "", "", nil)
}

func walkStruct(all []*section, v reflect.Value, path, doc string, defaults []string) []*section {
	s := &section{path: path, doc: doc}
	all = append(all, s)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := strings.TrimPrefix(path+"."+f.Tag.Get("name"), ".")
		if f.Type.Kind() == reflect.Struct {
			all = walkStruct(all, v.Field(i), name, f.Tag.Get("doc"), strings.Fields(f.Tag.Get("defaults")))
			continue
		}
		o := newOption(f, v.Field(i), name)
		if len(defaults) > 0 {
			o.def = defaults[i]
		}
		s.options = append(s.options, o)
	}
	return all
}

func newOption(f reflect.StructField, v reflect.Value, path string) *option {
	return &option{
		path: path, value: v,
		def: f.Tag.Get("default"), doc: f.Tag.Get("doc"),
		min: f.Tag.Get("min"), max: f.Tag.Get("max"),
		oneOf: strings.Fields(f.Tag.Get("one_of")),
	}
}

// options flattens the sections.
func options(c *Config) []*option {
	var all []*option
	for _, s := range walk(c) {
		all = append(all, s.options...)
	}
	return all
}

// set parses text into the option's value. A list is given by its elements, everything else by one text.
func (o *option) set(texts ...string) error {
	if o.isList() {
		o.value.Set(reflect.ValueOf(append([]string(nil), texts...)))
		return nil
	}
	v, err := o.parse(texts[0])
	if err == nil {
		o.value.Set(v)
	}
	return err
}

// parse reads one scalar of the option's type and checks its bounds.
func (o *option) parse(text string) (reflect.Value, error) {
	v := reflect.New(o.value.Type())
	if err := parseInto(v, text); err != nil {
		return reflect.Value{}, err
	}
	return v.Elem(), o.checkBounds(v.Elem())
}

func parseInto(v reflect.Value, text string) error {
	if u, ok := v.Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch p := v.Interface().(type) {
	case *string:
		*p = text
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("is not a whole number")
		}
		*p = n
	case *bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("is neither true nor false")
		}
		*p = text == "true"
	default:
		panic(fmt.Sprintf("BUG: config has a field of the type %v, which has no parser", v.Elem().Type()))
	}
	return nil
}

func (o *option) checkBounds(v reflect.Value) error {
	if len(o.oneOf) > 0 {
		return o.checkChoice(v.String())
	}
	if o.min == "" {
		return nil
	}
	low, high := reflect.New(v.Type()), reflect.New(v.Type())
	if parseInto(low, o.min) != nil || parseInto(high, o.max) != nil {
		panic("BUG: the bounds of " + o.path + " cannot be read")
	}
	if v.Int() < low.Elem().Int() || v.Int() > high.Elem().Int() {
		return fmt.Errorf("is out of bounds; allowed are %s to %s", o.min, o.max)
	}
	return nil
}

func (o *option) checkChoice(text string) error {
	for _, c := range o.oneOf {
		if c == text {
			return nil
		}
	}
	return fmt.Errorf("is not one of %s%s", strings.Join(o.oneOf, ", "), didYouMean(text, o.oneOf))
}

// text spells the current value as in the file (a list by its elements).
func (o *option) text() string {
	if list, ok := o.value.Interface().([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(o.value.Interface())
}
