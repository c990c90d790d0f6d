package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// decode reads the body, one JSON object, into v. Fields that v has not are refused: a misspelt one would be left out in silence.
func decode(r *request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if err == nil || errors.As(err, new(*http.MaxBytesError)) {
		return err
	}
	return badRequest("the body is not what is expected: " + misfit(err))
}

// misfit tells what is wrong with a body in the terms of JSON, not of Go's types.
func misfit(err error) string {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return "it is empty; send a JSON object"
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Sprintf("it is a JSON %s; send an object", wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Sprintf("%s cannot be a JSON %s; docs/openapi.yaml tells what it may be", wrong.Field, wrong.Value)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// decodeOptional is decode where the body may be empty.
func decodeOptional(r *request, v any) error {
	begin := bufio.NewReader(r.Body)
	if _, err := begin.Peek(1); errors.Is(err, io.EOF) { // a length need not have been told
		return nil
	}
	r.Body = io.NopCloser(begin)
	return decode(r, v)
}
