"""From a teacher to a student: the teacher's probabilities, computed once, and the objective that uses them."""
