-- Returns {messages of producers, ready, delayed, leased, ms until the next one is due or -1}.

return counts(now_ms())
