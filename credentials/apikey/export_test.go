package apikey

// What is stored is sealed with a key that takes long to derive, which tests need not wait for.
func init() { sealIterations = 10 }

// Forget forgets the keys with which this process has sealed, as its end does.
func Forget() {
	sealers.mu.Lock()
	defer sealers.mu.Unlock()
	sealers.list = nil
}
