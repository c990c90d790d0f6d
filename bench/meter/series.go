package meter

// maxPoints bounds a Series. When it is full, neighbours become one: a run of a day keeps its shape, with a point each half minute.
const maxPoints = 3600

// Series keeps the points of a run, and what was done to the server. One goroutine at a time.
type Series struct {
	Points []Point
	Events []Event // the first maxEvents

	every int // samples to a point, for each load
	have  map[string]int
}

// maxEvents bounds the marks on a time axis; what comes later is not marked.
const maxEvents = 1000

// Add keeps a sample.
func (s *Series) Add(sample *Sample) {
	if s.have == nil {
		s.every, s.have = 1, map[string]int{}
	}
	s.Events = append(s.Events, sample.Events[:min(len(sample.Events), maxEvents-len(s.Events))]...)
	point := sample.Point()
	if s.have[point.Load]++; s.have[point.Load] > 1 {
		s.joinLast(point)
	} else {
		s.Points = append(s.Points, point)
	}
	if s.have[point.Load] >= s.every {
		s.have[point.Load] = 0
	}
	if len(s.Points) >= maxPoints {
		s.halve()
	}
}

// joinLast makes the point and the last one of its load one.
func (s *Series) joinLast(p Point) {
	for i := len(s.Points) - 1; i >= 0; i-- {
		if s.Points[i].Load == p.Load {
			s.Points[i] = p.after(s.Points[i])
			return
		}
	}
}

// halve makes each two neighbours of a load one.
func (s *Series) halve() {
	kept := halve(s.Points)
	clear(s.Points[copy(s.Points, kept):])
	s.Points = s.Points[:len(kept)]
	s.every *= 2
	for load := range s.have {
		s.have[load] = 0
	}
}

// Thin returns at most so many points of each load with the shape of all, as a Series does; the points given stay as they are.
func Thin(points []Point, most int) []Point {
	for {
		loads, longest := map[string]int{}, 0
		for _, p := range points {
			loads[p.Load]++
			longest = max(longest, loads[p.Load])
		}
		if longest <= most {
			return points
		}
		points = halve(points)
	}
}

// halve is a list in which each two neighbours of a load are one.
func halve(points []Point) (kept []Point) {
	first := map[string]int{} // where the first of two is, by load
	for _, p := range points {
		if i, open := first[p.Load]; open {
			kept[i] = p.after(kept[i])
			delete(first, p.Load)
			continue
		}
		first[p.Load] = len(kept)
		kept = append(kept, p)
	}
	return kept
}
