package main

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/switchyard-im/switchyard/cmd/switchyard/api"
	"github.com/switchyard-im/switchyard/docs"
)

// openAPI is the description of the interface, with which answers are compared.
type openAPI struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
}

const openAPIName = "http://test/openapi.json"

var description = sync.OnceValue(func() *openAPI {
	var o openAPI
	text, err := yaml.YAMLToJSON(docs.OpenAPI)
	if err == nil {
		var doc any
		doc, err = jsonschema.UnmarshalJSON(bytes.NewReader(text))
		o.doc, _ = doc.(map[string]any)
		o.compiler = jsonschema.NewCompiler()
		o.compiler.DefaultDraft(jsonschema.Draft2020)
		if err == nil {
			err = o.compiler.AddResource(openAPIName, doc)
		}
	}
	if err != nil {
		panic(err)
	}
	return &o
})

// operation finds what the document says of a request: the pointer to it, and whether it says anything.
func (o *openAPI) operation(method, path string) (pointer string, ok bool) {
	path, _, _ = strings.Cut(path, "?")
	given := strings.Split(path, "/")
	for template, item := range o.doc["paths"].(map[string]any) {
		parts := strings.Split(template, "/")
		same := len(parts) == len(given)
		for i := 0; same && i < len(parts); i++ {
			same = parts[i] == given[i] || strings.HasPrefix(parts[i], "{")
		}
		if _, described := item.(map[string]any)[strings.ToLower(method)]; same && described {
			return "/paths/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(template) + "/" + strings.ToLower(method), true
		}
	}
	return "", false
}

// check compares an answer with its schema. What nobody describes may only be told that it does not exist.
func (o *openAPI) check(t *testing.T, method, path string, status int, body []byte) {
	t.Helper()
	pointer, ok := o.operation(method, path)
	if !ok {
		if status != http.StatusNotFound {
			t.Errorf("%s %s is answered %d, and docs/openapi.yaml does not know it", method, path, status)
		}
		return
	}
	response := "default"
	if status == http.StatusOK {
		response = strconv.Itoa(status)
	}
	schema, err := o.compiler.Compile(openAPIName + "#" + o.resolve(pointer+"/responses/"+response) + "/content/application~1json/schema")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(answer)
	}
	if err != nil {
		t.Errorf("%s %s: %d is not as docs/openapi.yaml says: %v\n%s", method, path, status, err, body)
	}
}

// resolve follows a reference that stands in place of a response.
func (o *openAPI) resolve(pointer string) string {
	at := any(o.doc)
	for _, part := range strings.Split(pointer, "/")[1:] {
		part = strings.NewReplacer("~1", "/", "~0", "~", "%7B", "{", "%7D", "}").Replace(part)
		at = at.(map[string]any)[part]
	}
	if ref, ok := at.(map[string]any)["$ref"].(string); ok {
		return strings.TrimPrefix(ref, "#")
	}
	return pointer
}

// TestOpenAPI: the document is given out, its schemas compile, and it describes what there is and nothing else.
func TestOpenAPI(t *testing.T) {
	o := description()
	described := map[string]bool{}
	for path, item := range o.doc["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			described[strings.ToUpper(method)+" "+path] = true
			pointer, _ := o.operation(method, path)
			for _, response := range []string{"200", "default"} {
				if _, err := o.compiler.Compile(openAPIName + "#" + o.resolve(pointer+"/responses/"+response) + "/content/application~1json/schema"); err != nil {
					t.Errorf("%s %s %s: %v", method, path, response, err)
				}
			}
		}
	}
	for _, route := range api.Routes() {
		if !described[route] {
			t.Errorf("%s is not described", route)
		}
		delete(described, route)
	}
	if len(described) > 0 {
		t.Errorf("these are described and do not exist: %v", described)
	}

	_, base := startWithAPI(t)
	got, err := http.Get(base + "/v1/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if text, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(text, docs.OpenAPI) || got.StatusCode != http.StatusOK {
		t.Errorf("%d, %v, %d bytes", got.StatusCode, err, len(text))
	}
}
