package core

// sayAtOnce is for how many conversations a Tick tells the presence that was withheld: a second's share after a pressure that may have
// lasted while everybody reconnected.
const sayAtOnce = 1000

// Withhold makes the machine keep presence to itself from the next batch on, or tell it again. What came and went meanwhile is never told;
// what is different from what was told last follows with the next Ticks.
func (m *Machine) Withhold(quiet bool) { m.quiet = quiet }

// sayUnsaid tells presence that was withheld.
func (m *Machine) sayUnsaid() {
	if m.quiet {
		return
	}
	said := 0
	for c := range m.unsaid {
		if said++; said > sayAtOnce {
			return
		}
		delete(m.unsaid, c)
		m.touch(c).presence = true
	}
}
