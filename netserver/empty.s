// Empty on purpose: with an assembly file in the package the compiler accepts the body-less function in poll.go.
