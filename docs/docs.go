// Package docs holds the documents that the server itself gives out.
package docs

import _ "embed" // for OpenAPI

// OpenAPI describes the HTTP interface for applications.
//
//go:embed openapi.yaml
var OpenAPI []byte
