// Command codecs measures what it costs to encode and decode one and the same chat message with several codecs. It is a module of its own, so that
// protobuf, FlatBuffers and the fast JSON are no dependency of switchyard. `switchyard-bench codec` runs it and shows its report, which is the JSON
// of bench/codec's Report on the standard output; the standard error gets a line for each round.
//
// Each codec is used as its documentation teaches, from and into its own types, with buffers and messages reused wherever it lets them be. Encoding
// starts from filled types of the library. Decoding ends when all fields of all messages were read, so a codec that reads in place pays for it too;
// every decoder must return the digest of the same fields. Keeping is decoding into messages that own their memory.
//
// It exits with 0 if it measured, 1 if a message came back altered, 2 for a wrong command line, and 3 if it could not run.
package main

//go:generate ./generate
