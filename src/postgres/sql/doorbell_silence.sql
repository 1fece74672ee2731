-- Jobs come so fast that polls find them: ringing would only serialise the producers' commits.
UPDATE legwork.doorbell SET until = '2000-01-01' WHERE until > clock_timestamp()
