package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	return badRequest(fmt.Sprintf("the body is not what is expected: %v", err))
}

// decodeOptional is decode where the body may be empty.
func decodeOptional(r *request, v any) error {
	if r.ContentLength == 0 {
		return nil
	}
	return decode(r, v)
}
