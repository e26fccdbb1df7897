package apikey

// What is stored is sealed with a key that takes long to derive, which tests need not wait for.
func init() { sealIterations = 10 }
