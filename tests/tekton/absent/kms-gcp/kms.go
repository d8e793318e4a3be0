// Package kms stands in for the client of a cloud's key store: nothing here verifies signatures, and the real one takes
// longer to compile than all of Tekton.
package kms
