package main

// version is set by the linker (see the Makefile); "dev" is a build without it.
var version = "dev"
