package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/sink"
)

// elsewhere are the options that cmd uses itself, with the test that shows each changing something.
var elsewhere = map[string]string{
	"server.id":              "TestServe",
	"server.drain_timeout":   "TestStopCutsOffWhoStays",
	"server.lame_duck_delay": "TestLameDuck",
	"server.drain_time":      "TestLameDuck",
	"server.upgrade_timeout": "TestUpgradeCutsOffWhoStays",
	"admin.listen":           "TestServe",
	"auth.keys":              "TestVerifierTakesConfiguredKeys",
	"auth.leeway":            "TestVerifierTakesConfiguredKeys",
	"api.keys":               "TestAPIKeys",
	"routing.file":           "TestRoutingFile",
	"api.canned_file":        "TestCannedReplies",
	"log.level":              "TestLogger",
	"log.format":             "TestLogger",
	"overload.memory_limit":  "TestMemoryLimitShedsConnections",
	"history.ca_file":        "TestClickhouseFiles",
	"history.query_timeout":  "TestHistoryThatHangs",
}

// TestEveryOptionArrives changes one option after another and looks for a change in what the parts are given.
func TestEveryOptionArrives(t *testing.T) {
	given := func(c *config.Config) string {
		h, err := historyConfig(c, nil, nil)
		p, nerr := notifyConfig(c, nil, nil)
		n := p.config
		return fmt.Sprintf("%+v %+v %+v", netserverConfig(c), sinkConfig(c, nil, nil), dispatchConfig(c, 1)) + fmt.Sprintln(apiConfig(c)) + fmt.Sprintf("%+v %v %+v %v", h, err, n, nerr)
	}
	def := config.Default()
	before, count := given(&def), 0
	eachOption(reflect.ValueOf(&def).Elem(), "", func(path string, v reflect.Value) {
		count++
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		change(t, path, v)
		if arrived := given(&def) != before; arrived == (elsewhere[path] != "") {
			t.Errorf("%s: it reaches a part: %v; it is listed as used by cmd: %v", path, arrived, elsewhere[path] != "")
		}
		v.Set(old)
	})
	if count < 40 {
		t.Errorf("only %d options were seen", count)
	}
}

func eachOption(v reflect.Value, path string, f func(string, reflect.Value)) {
	for i := range v.NumField() {
		name := strings.TrimPrefix(path+"."+v.Type().Field(i).Tag.Get("name"), ".")
		if v.Field(i).Kind() == reflect.Struct {
			eachOption(v.Field(i), name, f)
		} else {
			f(name, v.Field(i))
		}
	}
}

func change(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1_000_000_000) // a second, or a byte or so more
	case reflect.String:
		v.SetString("10.0.0.1:1")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Slice:
		v.Set(reflect.ValueOf([]string{"10.0.0.0/8"}))
	default:
		t.Fatalf("%s: a value of the kind %v", path, v.Kind())
	}
}

func TestUnavailableIsTranslated(t *testing.T) {
	err := translate(fmt.Errorf("read: %w", sink.ErrUnavailable))
	if !errors.Is(err, dispatch.ErrUnavailable) || !errors.Is(err, sink.ErrUnavailable) || err.Error() != "read: "+sink.ErrUnavailable.Error() {
		t.Errorf("%v", err)
	}
	if other := errors.New("other"); translate(other) != other || translate(nil) != nil {
		t.Error("another error is changed")
	}
}
