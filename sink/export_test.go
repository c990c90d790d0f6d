package sink

// OpenOn opens a store on another file system.
var OpenOn = openOn
